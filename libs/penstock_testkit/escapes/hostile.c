/* An agent that means no good: tries one way out, by its name, and says whether it got through.
 *
 *     hostile NAME HOST_FILE PORT HOME ABSTRACT PID
 *
 * Writes `true` or `false` to $PENSTOCK_OUTPUT. HOST_FILE lies on the host, PORT is one of its
 * loopback on which somebody listens, HOME is the executor's home, ABSTRACT the name of a Unix
 * socket in the host's abstract namespace, PID the executor's own number. The same ways as in
 * the modules beside this file, where each is described.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char *host_file_of_argv, *home_of_argv, *abstract_of_argv;
static int port_of_argv, pid_of_argv;

static int refused(void) { return errno == EPERM || errno == ENOSYS || errno == EACCES; }

static int allowed(long number, long a, long b, long c, long d, long e) {
    errno = 0;
    return syscall(number, a, b, c, d, e) >= 0 || !refused();
}

static int reads(const char *path) {
    char byte;
    int fd = open(path, O_RDONLY | O_NONBLOCK);
    if (fd < 0) return 0;
    ssize_t got = read(fd, &byte, 1);
    close(fd);
    return got >= 0;
}

static int writes(const char *path) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0) return 0;
    close(fd);
    return 1;
}

static int holds(const char *path, const char *word) {
    static char text[65536];
    int fd = open(path, O_RDONLY);
    if (fd < 0) return 0;
    ssize_t got = read(fd, text, sizeof text - 1);
    close(fd);
    return got > 0 && memmem(text, (size_t)got, word, strlen(word)) != NULL;
}

static int entries(const char *path, int digits_only) {
    int count = 0;
    DIR *folder = opendir(path);
    if (!folder) return -1;
    for (struct dirent *one; (one = readdir(folder));)
        if (one->d_name[0] != '.' && (!digits_only || (one->d_name[0] >= '0' && one->d_name[0] <= '9')))
            count++;
    closedir(folder);
    return count;
}

static int fills(const char *folder) {
    static char mib[1 << 20];
    char path[512];
    memset(mib, 'x', sizeof mib);
    for (int number = 0; number < 32; number++) {
        snprintf(path, sizeof path, "%s/c%d", folder, number);
        int fd = open(path, O_WRONLY | O_CREAT, 0600);
        if (fd < 0) return 0;
        ssize_t put = write(fd, mib, sizeof mib);
        close(fd);
        if (put != (ssize_t)sizeof mib) return 0;
    }
    return 1;
}

static int reaches(const char *host, int port, int seconds) {
    struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    struct timeval wait = {.tv_sec = seconds};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0) return 0;
    inet_pton(AF_INET, host, &there.sin_addr);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
    int done = connect(fd, (struct sockaddr *)&there, sizeof there);
    close(fd);
    return done == 0;
}

static int opens(int family, int kind, int protocol) {
    int fd = socket(family, kind, protocol);
    if (fd >= 0) close(fd);
    return fd >= 0;
}

static int knocks(const char *name, int abstract) {
    struct sockaddr_un there = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0) return 0;
    strncpy(there.sun_path + abstract, name, sizeof there.sun_path - 2);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + abstract + strlen(name));
    int done = connect(fd, (struct sockaddr *)&there, size);
    close(fd);
    return done == 0;
}

/* Whether a child that does something lives to say so: what kills it has not let it through. */
static int survives(int (*act)(void)) {
    pid_t child = fork();
    int status = 0;
    if (child < 0) return 0;
    if (child == 0) _exit(act() ? 0 : 1);
    waitpid(child, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* --- files --------------------------------------------------------------------------------- */

static int host_file(void) { return reads(host_file_of_argv); }
static int planted_link(void) {
    return symlink(host_file_of_argv, "/penstock/work/clink") == 0 && reads("/penstock/work/clink");
}
static int host_home(void) {
    const char *names[] = {".ssh", ".aws", ".kube", ".netrc", ".bashrc", ".profile"};
    char path[1024];
    struct stat found;
    for (int i = 0; i < 6; i++) {
        snprintf(path, sizeof path, "%s/%s", home_of_argv, names[i]);
        if (lstat(path, &found) == 0) return 1;
    }
    return 0;
}
static int shadow(void) { return reads("/etc/shadow"); }
static int machine_id(void) { return reads("/etc/machine-id"); }
static int other_root(void) { return reads("/proc/1/root/etc/passwd") || entries("/proc/1/fd", 0) > 0; }
static int kernel_memory(void) { return reads("/dev/mem") || reads("/proc/kcore"); }
static int disk(void) { return reads("/dev/vda") || reads("/dev/sda"); }
static int fuse(void) { return reads("/dev/fuse"); }
static int device(void) {
    return mknod("/penstock/work/cdev", S_IFBLK | 0600, makedev(8, 0)) == 0 ||
           mknod("/penstock/work/cmem", S_IFCHR | 0600, makedev(1, 1)) == 0;
}
static int system_write(void) {
    return writes("/x") || writes("/usr/x") || writes("/etc/x") || writes("/penstock/x") ||
           writes("/penstock/agent/x");
}
static int output_link(void) {
    const char *path = getenv("PENSTOCK_OUTPUT");
    return unlink(path) == 0 || symlink("/etc/passwd", path) == 0 ||
           rename("/penstock/work/cnone", path) == 0;
}
static int kernel_settings(void) {
    int fd = open("/proc/sys/kernel/core_pattern", O_WRONLY);
    return fd >= 0;
}
static int kernel_objects(void) {
    return open("/sys/power/state", O_WRONLY) >= 0 || open("/sys/kernel/mm/ksm/run", O_WRONLY) >= 0 ||
           open("/sys/kernel/uevent_helper", O_WRONLY) >= 0;
}
static int sysrq(void) { return open("/proc/sysrq-trigger", O_WRONLY) >= 0; }
static int cgroups(void) { return entries("/sys/fs/cgroup", 0) > 0; }

/* --- other processes ------------------------------------------------------------------------ */

extern char **environ;
static int host_environment(void) {
    for (char **one = environ; *one; one++)
        if (strstr(*one, "HOST_SECRET")) return 1;
    return 0;
}
static int other_environments(void) {
    char path[300];
    DIR *folder = opendir("/proc");
    int found = 0;
    for (struct dirent *one; folder && (one = readdir(folder));) {
        snprintf(path, sizeof path, "/proc/%s/environ", one->d_name);
        found = found || holds(path, "HOST_SECRET");
    }
    return found;
}
static int memory(void) { return reads("/proc/1/mem") || open("/proc/1/mem", O_WRONLY) >= 0; }
/* If it were killed, we would die with it and not answer. */
static int kill_first(void) { return kill(1, SIGKILL) == 0 && 0; }
static int signal_host(void) { return kill(pid_of_argv, 0) == 0; }
static int neighbours(void) { return entries("/proc", 1) > 3; }
static int trace(void) {
    return allowed(SYS_ptrace, 16, 1, 0, 0, 0) || allowed(SYS_ptrace, 0, 0, 0, 0, 0);
}
static int other_memory(void) { return allowed(SYS_process_vm_readv, 1, 0, 0, 0, 0); }
static int other_descriptors(void) { return allowed(438, 0, 0, 0, 0, 0); }

/* --- network -------------------------------------------------------------------------------- */

static int host_loopback(void) { return reaches("127.0.0.1", port_of_argv, 2); }
static int metadata(void) { return reaches("169.254.169.254", 80, 1); }
static int internet(void) { return reaches("192.0.2.1", 80, 1); }
static int names(void) {
    struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons(53)};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    inet_pton(AF_INET, "192.0.2.53", &there.sin_addr);
    return fd >= 0 && sendto(fd, "?", 1, 0, (struct sockaddr *)&there, sizeof there) == 1;
}
static int interfaces(void) {
    int known = entries("/sys/class/net", 0);
    if (known >= 0) return known != 1;
    FILE *file = fopen("/proc/net/dev", "r");
    int lines = 0;
    for (int byte; file && (byte = fgetc(file)) != EOF;) lines += byte == '\n';
    return lines > 3;
}
static int packets(void) { return opens(AF_PACKET, SOCK_RAW, 3) || opens(AF_INET, SOCK_RAW, 1); }
static int machines(void) { return opens(40, SOCK_STREAM, 0); }
static int crypto(void) { return opens(38, SOCK_SEQPACKET, 0); }
static int sockets(void) {
    return knocks("/var/run/docker.sock", 0) || knocks("/run/dagger/engine.sock", 0) ||
           knocks("/run/buildkit/buildkitd.sock", 0) || knocks("/penstock/.channel", 0);
}
static int abstract_sockets(void) { return knocks(abstract_of_argv, 1); }

/* --- the kernel ----------------------------------------------------------------------------- */

static int mounts(void) {
    return allowed(SYS_mount, 0, 0, 0, 0, 0) || allowed(SYS_umount2, 0, 2, 0, 0, 0) ||
           allowed(430, 0, 0, 0, 0, 0) || allowed(428, 0, 0, 0, 0, 0);
}
static int unshares(void) { return allowed(SYS_unshare, CLONE_NEWUSER, 0, 0, 0, 0); }
static int enters(void) { return allowed(SYS_setns, 0, 0, 0, 0, 0); }
static int clones(void) {
    errno = 0;
    long child = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
    if (child == 0) _exit(0);
    if (child > 0) return 1;
    return !refused() || allowed(435, 0, 0, 0, 0, 0);
}
static int changes_root(void) { return chroot("/tmp") == 0 || allowed(SYS_pivot_root, 0, 0, 0, 0, 0); }
static int keyring(void) {
    return allowed(SYS_keyctl, 0, 0xFFFFFFFDL, 0, 0, 0) || allowed(SYS_add_key, 0, 0, 0, 0, 0) ||
           allowed(SYS_request_key, 0, 0, 0, 0, 0);
}
static int bpf(void) { return allowed(SYS_bpf, 0, 0, 0, 0, 0); }
static int io_uring(void) { return allowed(425, 1, 0, 0, 0, 0) || allowed(426, 0, 0, 0, 0, 0); }
static int perf(void) { return allowed(SYS_perf_event_open, 0, 0, 0, 0, 0); }
static int faults(void) { return allowed(SYS_userfaultfd, 0, 0, 0, 0, 0) || reads("/dev/userfaultfd"); }
static int handles(void) { return allowed(SYS_open_by_handle_at, 0, 0, 0, 0, 0); }
static int terminal(void) {
    return allowed(SYS_ioctl, 0, 0x5412, 0, 0, 0) || allowed(SYS_ioctl, 0, 0x100005412L, 0, 0, 0) ||
           allowed(SYS_ioctl, 0, 0x541C, 0, 0, 0);
}
static int kernel_log(void) { return allowed(SYS_syslog, 3, 0, 0, 0, 0) || reads("/dev/kmsg"); }
static int modules(void) {
    return allowed(SYS_init_module, 0, 0, 0, 0, 0) || allowed(SYS_finit_module, -1, 0, 0, 0, 0) ||
           allowed(SYS_kexec_load, 0, 0, 0, 0, 0);
}
static int clocks(void) {
    return allowed(SYS_clock_settime, 0, 0, 0, 0, 0) || allowed(SYS_settimeofday, 0, 0, 0, 0, 0);
}
static int host_name(void) { return sethostname("", 0) == 0; }
static int persona(void) { return allowed(SYS_personality, 0x0400000, 0, 0, 0, 0); }
#ifdef __x86_64__
static int by_int80(void) {
    long number = 20; /* getpid of the 32-bit table */
    __asm__ volatile("int $0x80" : "+a"(number) : : "memory", "r8", "r9", "r10", "r11");
    return number > 0;
}
static int by_x32(void) { return syscall(0x40000000 + 39) > 0; }
static int old_table(void) { return survives(by_int80); }
static int x32_table(void) { return survives(by_x32); }
#else
static int old_table(void) { return 0; }
static int x32_table(void) { return 0; }
#endif
static int future(void) { return allowed(470, 0, 0, 0, 0, 0); }

/* --- privileges ----------------------------------------------------------------------------- */

static int root(void) { return setuid(0) == 0 || setgid(0) == 0; }
static int set_uid(void) {
    char said[64] = "";
    if (system("cp /usr/bin/id /penstock/work/cid 2>/dev/null") != 0) return 0;
    chmod("/penstock/work/cid", 06755);
    FILE *told = popen("/penstock/work/cid -u", "r");
    if (!told) return 0;
    if (!fgets(said, sizeof said, told)) said[0] = 0;
    pclose(told);
    return strcmp(said, "0\n") == 0;
}
static int capabilities(void) {
    return !holds("/proc/self/status", "CapEff:\t0000000000000000") ||
           !holds("/proc/self/status", "CapBnd:\t0000000000000000") ||
           !holds("/proc/self/status", "NoNewPrivs:\t1");
}

/* --- scratch folders ------------------------------------------------------------------------ */

static int tmp(void) { return fills("/tmp"); }
static int work(void) { return fills("/penstock/work"); }
static int public_folders(void) {
    return fills("/var/tmp") || fills("/run/lock") || fills("/dev/mqueue");
}
static int shared_memory(void) { return fills("/dev/shm"); }

static const struct {
    const char *name;
    int (*attempt)(void);
} WAYS[] = {
    {"host-file", host_file}, {"planted-link", planted_link}, {"host-home", host_home},
    {"shadow", shadow}, {"machine-id", machine_id}, {"other-root", other_root},
    {"kernel-memory", kernel_memory}, {"disk", disk}, {"fuse", fuse}, {"device", device},
    {"system-write", system_write}, {"output-link", output_link},
    {"kernel-settings", kernel_settings}, {"kernel-objects", kernel_objects}, {"sysrq", sysrq},
    {"cgroups", cgroups}, {"host-environment", host_environment},
    {"other-environments", other_environments}, {"memory", memory}, {"kill", kill_first},
    {"signal-host", signal_host}, {"neighbours", neighbours}, {"ptrace", trace},
    {"other-memory", other_memory}, {"other-descriptors", other_descriptors},
    {"host-loopback", host_loopback}, {"metadata", metadata}, {"internet", internet},
    {"names", names}, {"interfaces", interfaces}, {"packets", packets}, {"vsock", machines},
    {"crypto-sockets", crypto}, {"sockets", sockets}, {"abstract-sockets", abstract_sockets},
    {"mount", mounts}, {"unshare", unshares}, {"setns", enters}, {"clone", clones},
    {"chroot", changes_root}, {"keyring", keyring}, {"bpf", bpf}, {"io-uring", io_uring},
    {"perf", perf}, {"userfaultfd", faults}, {"handles", handles}, {"terminal", terminal},
    {"kernel-log", kernel_log}, {"modules", modules}, {"clock", clocks}, {"host-name", host_name},
    {"personality", persona}, {"32-bit-calls", old_table}, {"x32-calls", x32_table},
    {"future-calls", future}, {"root", root}, {"setuid", set_uid}, {"capabilities", capabilities},
    {"tmp", tmp}, {"work", work}, {"public-folders", public_folders},
    {"shared-memory", shared_memory},
};

int main(int count, char **given) {
    if (count < 7) return 2;
    host_file_of_argv = given[2];
    port_of_argv = atoi(given[3]);
    home_of_argv = given[4];
    abstract_of_argv = given[5];
    pid_of_argv = atoi(given[6]);
    /* Opened first: an attempt may take its place. */
    int answer = open(getenv("PENSTOCK_OUTPUT"), O_WRONLY | O_CREAT, 0600);
    for (size_t i = 0; i < sizeof WAYS / sizeof *WAYS; i++)
        if (strcmp(WAYS[i].name, given[1]) == 0) {
            int through = WAYS[i].attempt();
            return write(answer, through ? "true" : "false", through ? 4 : 5) > 0 ? 0 : 3;
        }
    return 2;
}
