/* Leaves processes behind that try hard to stay: each in a session of its own, forked twice, deaf to signals, writing
 * to a file all the time. One of them keeps changing its process id. The first argument is the file. */
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

static void write_for_ever(int fd, int hop) {
    for (;;) {
        write(fd, ".", 1);
        usleep(1000);
        if (hop && fork() > 0) _exit(0);
    }
}

int main(int argc, char **argv) {
    int fd = open(argv[argc - 1], O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (fd < 0) return 1;
    for (int signal_number = 1; signal_number < 32; signal_number++) signal(signal_number, SIG_IGN);
    for (int hop = 0; hop < 2; hop++) {
        if (fork() == 0) {
            setsid();
            if (fork() == 0) write_for_ever(fd, hop);
            _exit(0);
        }
    }
    /* Only when they write is there anything to end. */
    while (lseek(fd, 0, SEEK_END) < 10) usleep(1000);
    return 0;
}
