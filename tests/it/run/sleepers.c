/* Leaves 200 sleeping processes behind: 100 in sessions of their own, each with a child. */
#include <unistd.h>

int main(void) {
    int ready[2];
    char byte = 0;
    if (pipe(ready) != 0) return 1;
    for (int i = 0; i < 100; i++) {
        if (fork() > 0) continue;
        setsid();
        fork();
        write(ready[1], &byte, 1);
        for (;;) pause();
    }
    for (int i = 0; i < 200; i++)
        if (read(ready[0], &byte, 1) != 1) return 2;
    return 0;
}
