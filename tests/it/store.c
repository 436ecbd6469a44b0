/* store FILE BYTE: stores a byte at the start of a file through a shared mapping, and ends without unmapping it. */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int count, char **args) {
    int file = count == 3 ? open(args[1], O_RDWR) : -1;
    if (file < 0) return 1;
    volatile char *map = mmap(0, 1, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (map == MAP_FAILED) return 2;
    *map = args[2][0];
    _exit(0);
}
