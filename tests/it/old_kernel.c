/* Runs a program as on an older kernel: system calls that came later answer ENOSYS, and flags that came later EINVAL, for it
 * and for all that it starts. The first argument says how old: 4.19 or 5.10. It proves that its filter works before it
 * executes the rest of its arguments. */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#error "unknown machine"
#endif

#define NUMBER offsetof(struct seccomp_data, nr)
#define ARGUMENT(n) offsetof(struct seccomp_data, args[n])
#define LOAD(what) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, what)
#define ANSWER(what) BPF_STMT(BPF_RET | BPF_K, what)
#define ERROR(number) ANSWER(SECCOMP_RET_ERRNO | (number))
/* If the call is `call` and its argument `n` has one of `bits`, it is invalid. */
#define INVALID(call, n, bits)                                                                                            \
    LOAD(NUMBER), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 3), LOAD(ARGUMENT(n)),                                     \
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, bits, 0, 1), ERROR(EINVAL)

/* From this number on all machines count alike, so a call's number says how new it is. */
static const struct { const char *name; unsigned first; } AGES[] = {
    {"4.19", 424}, /* pidfd_send_signal, Linux 5.1; before openat2, clone3, close_range, faccessat2, the new mount calls */
    {"5.10", 441}, /* epoll_pwait2, Linux 5.11 */
};

static int refused(long number, long a, long b, long c, int expected) {
    errno = 0;
    return syscall(number, a, b, c, 0, 0) == -1 && errno == expected;
}

int main(int argc, char **argv) {
    unsigned first = 0;
    for (unsigned i = 0; argc > 2 && i < sizeof AGES / sizeof *AGES; i++)
        if (!strcmp(argv[1], AGES[i].name)) first = AGES[i].first;
    if (!first) return fprintf(stderr, "usage: old_kernel 4.19|5.10 PROGRAM [ARGUMENT]...\n"), 64;
    struct sock_filter code[] = {
        LOAD(offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0),
        ANSWER(SECCOMP_RET_KILL_PROCESS),
        LOAD(NUMBER),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, first, 0, 1),
        ERROR(ENOSYS),
        /* FAN_REPORT_FID and all that came after it: Linux 5.1 to 6.13. */
        INVALID(SYS_fanotify_init, 0, 0xfe00),
        /* MFD_NOEXEC_SEAL and MFD_EXEC: Linux 6.3. */
        INVALID(SYS_memfd_create, 1, 0x18),
        /* CLOSE_RANGE_CLOEXEC: Linux 5.11. */
        INVALID(SYS_close_range, 2, 4),
        ANSWER(SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) return perror("seccomp"), 70;
    int works = refused(441, -1, 0, 0, ENOSYS) && refused(SYS_fanotify_init, 0x1e00, 0, 0, EINVAL) &&
                refused(SYS_memfd_create, (long)"", 0x10, 0, EINVAL) &&
                refused(SYS_close_range, 100, 200, 4, first == 424 ? ENOSYS : EINVAL) &&
                (first != 424 || (refused(SYS_openat2, -1, 0, 0, ENOSYS) && refused(SYS_clone3, 0, 0, 0, ENOSYS)));
    if (!works) return fprintf(stderr, "the filter does not work\n"), 71;
    execvp(argv[2], argv + 2);
    return perror(argv[2]), 72;
}
