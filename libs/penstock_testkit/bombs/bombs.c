/* An agent that takes all it can get of one thing, by its name.
 *
 *     bombs NAME
 *
 * Where the kernel refuses, it writes how much it got to $PENSTOCK_OUTPUT and ends well. The same
 * bombs as in `__init__.py` beside this file, where each is described.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MIB (1 << 20)

static char block[MIB];
static int told; /* opened first: there may be no descriptor left for it */

static void answer(long count) {
    char text[32];
    int size = snprintf(text, sizeof text, "%ld", count);
    if (write(told, text, (size_t)size) != size) _exit(3);
    _exit(0);
}

static void memory(void) {
    for (long held = 0;; held++) {
        char *taken = malloc(MIB);
        if (!taken) answer(held);
        memset(taken, 1, MIB);
    }
}
static void *wait_for_ever(void *nothing) {
    for (;;) pause();
    return nothing;
}
static void forks(void) {
    for (;;)
        if (fork() < 0) usleep(1000);
}
static void threads(void) {
    pthread_attr_t small;
    pthread_t made;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 64 * 1024);
    for (long count = 1;; count++)
        if (pthread_create(&made, &small, wait_for_ever, NULL) != 0) answer(count);
}
static void spin(void) {
    for (int number = 0; number < 15; number++)
        if (fork() == 0) break;
    for (volatile long turns = 0;; turns++) {}
}
static void descriptors(void) {
    for (long count = 0;; count++)
        if (open("/dev/null", O_RDONLY) < 0) answer(count);
}
static void pipes(void) {
    long held = 0;
    int ends[2];
    while (pipe2(ends, O_NONBLOCK) == 0) {
        fcntl(ends[1], F_SETPIPE_SZ, MIB);
        for (ssize_t put; (put = write(ends[1], block, sizeof block)) > 0;) held += put;
    }
    answer(held);
}
static void disk(void) {
    long held = 0;
    char path[64];
    for (int number = 0; number < 64; number++) {
        snprintf(path, sizeof path, "/penstock/work/d%d", number);
        int fd = open(path, O_WRONLY | O_CREAT, 0600);
        ssize_t put = write(fd, block, sizeof block);
        if (put > 0) held += put;
        if (put != sizeof block) answer(held);
    }
    answer(held);
}
static void sparse(void) {
    signal(SIGXFSZ, SIG_IGN);
    int fd = open("/penstock/work/sparse", O_RDWR | O_CREAT, 0600);
    answer(ftruncate(fd, 1L << 40) == 0 || lseek(fd, 1L << 40, SEEK_SET) < 0 || write(fd, "x", 1) == 1);
}
static void inodes(void) {
    char path[64];
    for (long count = 0;; count++) {
        snprintf(path, sizeof path, "/penstock/work/i%ld", count);
        int fd = open(path, O_WRONLY | O_CREAT, 0600);
        if (fd < 0) answer(count);
        close(fd);
    }
}
static void folders(void) {
    long depth = 0;
    if (chdir("/penstock/work") != 0) answer(-1);
    for (; depth < 20000; depth++)
        if (mkdir("ddddddddddddddddddddddddddddddddddddddd", 0700) != 0 ||
            chdir("ddddddddddddddddddddddddddddddddddddddd") != 0)
            break;
    answer(depth);
}
static void arguments(void) {
    long size = 64L * MIB;
    char *word = malloc((size_t)size);
    if (!word) answer(0);
    memset(word, 'a', (size_t)size - 1);
    word[size - 1] = 0;
    execl("/bin/true", "true", word, (char *)NULL);
    answer(errno == E2BIG ? 0 : size);
}
static void lines(void) {
    memset(block, 'x', sizeof block);
    while (write(1, block, sizeof block) > 0) {}
    answer(0);
}
static void newlines(void) {
    memset(block, '\n', sizeof block);
    while (write(2, block, sizeof block) > 0) {}
    answer(0);
}
static void output(void) {
    signal(SIGXFSZ, SIG_IGN);
    int fd = open(getenv("PENSTOCK_OUTPUT"), O_WRONLY);
    for (long size = 1L << 40; size > 0 && ftruncate(fd, size) != 0;) size /= 2;
    _exit(0);
}
static void files_in_memory(void) {
    long held = 0;
    for (int fd; (fd = (int)syscall(SYS_memfd_create, "m", 0)) >= 0;)
        for (int number = 0; number < 7; number++) {
            ssize_t put = write(fd, block, sizeof block);
            if (put > 0) held += put;
        }
    answer(held);
}

static const struct {
    const char *name;
    void (*go_off)(void);
} BOMBS[] = {
    {"memory", memory}, {"forks", forks}, {"threads", threads}, {"spin", spin},
    {"descriptors", descriptors}, {"pipes", pipes}, {"disk", disk}, {"sparse", sparse},
    {"inodes", inodes}, {"folders", folders}, {"arguments", arguments}, {"lines", lines},
    {"newlines", newlines}, {"output", output}, {"files-in-memory", files_in_memory},
};

int main(int count, char **given) {
    if (count < 2) return 2;
    told = open(getenv("PENSTOCK_OUTPUT"), O_WRONLY);
    setvbuf(stdout, NULL, _IONBF, 0);
    printf("up\n");
    for (size_t i = 0; i < sizeof BOMBS / sizeof *BOMBS; i++)
        if (strcmp(BOMBS[i].name, given[1]) == 0) BOMBS[i].go_off();
    return 2;
}
