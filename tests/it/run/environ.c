/* Writes its environment into the file named by the first argument, each entry with its NUL. */
#include <stdio.h>

extern char **environ;

int main(int argc, char **argv) {
    FILE *file = argc == 2 ? fopen(argv[1], "w") : NULL;
    if (!file) return 1;
    for (char **entry = environ; *entry; entry++) {
        fputs(*entry, file);
        fputc(0, file);
    }
    return fclose(file) != 0;
}
