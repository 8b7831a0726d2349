// Preloaded into a process, it records in one order what the process does to the files under a directory, and can make
// that slow or fail. For 64-bit Linux. What each record is, `trace.rs` says; the environment names what is here:
//   HOOKUP_TRACE_ROOT    the directory, absolute and without symbolic links
//   HOOKUP_TRACE_FILE    where records go
//   HOOKUP_TRACE_MARKS   what the process writes to this path is not written, but recorded as its remark
//   HOOKUP_TRACE_FAULTS  while this file is there: an error number, and letters that say what fails with it: o(pening
//                        for writing), n(ames made, changed and removed), w(rites), s(yncs)
//   HOOKUP_TRACE_HOLD    while this file is there, a sync does not begin; it makes a file `<this>.held`
//   HOOKUP_TRACE_DELAY   how many microseconds each write and sync is late
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct record {
    uint32_t op, thread;
    uint64_t node, dir, to_dir, offset, length;
    uint64_t name_len, to_name_len, data_len;
};

static int trace = -1;
static const char *root, *marks, *faults, *hold;
static long delay;
// Held over each call and its record, so that the order of the records is that of the calls. A sync takes long, and what
// others do meanwhile is not in it, so its begin and its end are records of their own.
static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;

__attribute__((constructor)) static void start(void) {
    const char *file = getenv("HOOKUP_TRACE_FILE"), *late = getenv("HOOKUP_TRACE_DELAY");
    root = getenv("HOOKUP_TRACE_ROOT");
    marks = getenv("HOOKUP_TRACE_MARKS");
    faults = getenv("HOOKUP_TRACE_FAULTS");
    hold = getenv("HOOKUP_TRACE_HOLD");
    delay = late ? atol(late) : 0;
    if (root && file)
        trace = syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static void put(const void *data, size_t len) {
    for (const char *at = data; len > 0;) {
        ssize_t n = syscall(SYS_write, trace, at, len);
        if (n < 0) abort();
        at += n;
        len -= n;
    }
}

static void note(char op, struct record it, const char *name, const char *to_name) {
    int before = errno;
    it.op = op;
    it.thread = syscall(SYS_gettid);
    it.name_len = name ? strlen(name) : 0;
    it.to_name_len = to_name ? strlen(to_name) : 0;
    put(&it, sizeof it);
    put(name, it.name_len);
    put(to_name, it.to_name_len);
    errno = before;
}

static void nap(long microseconds) {
    struct timespec time = {microseconds / 1000000, microseconds % 1000000 * 1000};
    nanosleep(&time, NULL);
}

static int inside(const char *path) {
    size_t len = strlen(root);
    return strncmp(path, root, len) == 0 && (path[len] == '/' || path[len] == 0);
}

static int path_of(int fd, char *path) {
    char link[40];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
    path[len < 0 ? 0 : len] = 0;
    return len > 0;
}

static int is_traced(int fd) {
    char path[PATH_MAX];
    return trace >= 0 && path_of(fd, path) && inside(path);
}

static int is_marks(int fd) {
    char path[PATH_MAX];
    return trace >= 0 && marks && path_of(fd, path) && strcmp(path, marks) == 0;
}

// The whole path of what a call names, if it is traced.
static int resolve(int dir, const char *path, char *whole) {
    if (trace < 0) return 0;
    char base[PATH_MAX] = "";
    if (path[0] != '/' && !(dir == AT_FDCWD ? getcwd(base, sizeof base) != NULL : path_of(dir, base))) return 0;
    int len = path[0] == '/' ? snprintf(whole, PATH_MAX, "%s", path) : snprintf(whole, PATH_MAX, "%s/%s", base, path);
    while (len > 1 && len < PATH_MAX && whole[len - 1] == '/') whole[--len] = 0;
    return len < PATH_MAX && inside(whole);
}

static uint64_t node_at(const char *path) {
    struct stat found;
    return fstatat(AT_FDCWD, path, &found, AT_SYMLINK_NOFOLLOW) == 0 ? found.st_ino : 0;
}

static uint64_t node_of(int fd) {
    struct stat found;
    return fstat(fd, &found) == 0 ? found.st_ino : 0;
}

static const char *name_of(const char *whole) { return strrchr(whole, '/') + 1; }

// The directory that a path is in.
static uint64_t parent(const char *whole) {
    char dir[PATH_MAX];
    snprintf(dir, sizeof dir, "%.*s", (int)(name_of(whole) - 1 - whole), whole);
    return node_at(dir);
}

static int fails(char what) {
    char line[64];
    int fd = faults ? syscall(SYS_openat, AT_FDCWD, faults, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return 0;
    ssize_t len = syscall(SYS_read, fd, line, sizeof line - 1);
    syscall(SYS_close, fd);
    line[len < 0 ? 0 : len] = 0;
    if (!strchr(line, what)) return 0;
    errno = atoi(line);
    return 1;
}

static int open_at(int dir, const char *path, int flags, mode_t mode) {
    char whole[PATH_MAX];
    struct stat before;
    if (!resolve(dir, path, whole)) return syscall(SYS_openat, dir, path, flags, mode);
    if (((flags & O_ACCMODE) != O_RDONLY || flags & (O_CREAT | O_TRUNC)) && fails('o')) return -1;
    pthread_mutex_lock(&order);
    int was = fstatat(AT_FDCWD, whole, &before, 0) == 0;
    int fd = syscall(SYS_openat, dir, path, flags, mode);
    if (fd >= 0 && !was)
        note('c', (struct record){.node = node_of(fd), .dir = parent(whole)}, name_of(whole), NULL);
    else if (fd >= 0 && flags & O_TRUNC && before.st_size > 0)
        note('t', (struct record){.node = node_of(fd)}, NULL, NULL);
    pthread_mutex_unlock(&order);
    return fd;
}

#define MODE(flags, last)                                                                                              \
    va_list args;                                                                                                      \
    va_start(args, last);                                                                                              \
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;                                            \
    va_end(args)

int open(const char *path, int flags, ...) { MODE(flags, flags); return open_at(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags, flags); return open_at(AT_FDCWD, path, flags, mode); }
int openat(int dir, const char *path, int flags, ...) { MODE(flags, flags); return open_at(dir, path, flags, mode); }
int openat64(int dir, const char *path, int flags, ...) { MODE(flags, flags); return open_at(dir, path, flags, mode); }

// Names: made, changed, removed.
int mkdirat(int dir, const char *path, mode_t mode) {
    char whole[PATH_MAX];
    if (!resolve(dir, path, whole)) return syscall(SYS_mkdirat, dir, path, mode);
    if (fails('n')) return -1;
    pthread_mutex_lock(&order);
    int result = syscall(SYS_mkdirat, dir, path, mode);
    if (result == 0)
        note('d', (struct record){.dir = parent(whole), .node = node_at(whole)}, name_of(whole), NULL);
    pthread_mutex_unlock(&order);
    return result;
}

int unlinkat(int dir, const char *path, int flags) {
    char whole[PATH_MAX];
    if (!resolve(dir, path, whole)) return syscall(SYS_unlinkat, dir, path, flags);
    if (fails('n')) return -1;
    pthread_mutex_lock(&order);
    uint64_t in = parent(whole);
    int result = syscall(SYS_unlinkat, dir, path, flags);
    if (result == 0) note('u', (struct record){.dir = in}, name_of(whole), NULL);
    pthread_mutex_unlock(&order);
    return result;
}

int renameat2(int dir, const char *path, int to_dir, const char *to_path, unsigned flags) {
    char whole[PATH_MAX], to_whole[PATH_MAX];
    int from_here = resolve(dir, path, whole), to_here = resolve(to_dir, to_path, to_whole);
    if (!from_here && !to_here) return syscall(SYS_renameat2, dir, path, to_dir, to_path, flags);
    if (fails('n')) return -1;
    pthread_mutex_lock(&order);
    int result = syscall(SYS_renameat2, dir, path, to_dir, to_path, flags);
    if (result == 0 && from_here && to_here && !(flags & RENAME_EXCHANGE)) {
        struct record it = {.dir = parent(whole), .to_dir = parent(to_whole)};
        note('r', it, name_of(whole), name_of(to_whole));
    } else if (result == 0) {
        note('?', (struct record){0}, "a rename out of the directory, into it, or of two files for each other", NULL);
    }
    pthread_mutex_unlock(&order);
    return result;
}

int linkat(int dir, const char *path, int to_dir, const char *to_path, int flags) {
    char whole[PATH_MAX];
    if (resolve(to_dir, to_path, whole)) note('?', (struct record){0}, "a hard link", NULL);
    return syscall(SYS_linkat, dir, path, to_dir, to_path, flags);
}

int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }
int link(const char *path, const char *to_path) { return linkat(AT_FDCWD, path, AT_FDCWD, to_path, 0); }
int rename(const char *path, const char *to_path) { return renameat2(AT_FDCWD, path, AT_FDCWD, to_path, 0); }
int renameat(int dir, const char *path, int to_dir, const char *to_path) {
    return renameat2(dir, path, to_dir, to_path, 0);
}

// Contents. An offset below 0 is the file's own.
static ssize_t write_at(int fd, const struct iovec *parts, int count, off_t offset) {
    ssize_t result;
    if (is_marks(fd)) {
        size_t len = 0;
        for (int i = 0; i < count; i++) len += parts[i].iov_len;
        pthread_mutex_lock(&order);
        note('m', (struct record){.data_len = len}, NULL, NULL);
        for (int i = 0; i < count; i++) put(parts[i].iov_base, parts[i].iov_len);
        pthread_mutex_unlock(&order);
        return len;
    }
    if (!is_traced(fd))
        return offset < 0 ? syscall(SYS_writev, fd, parts, count) : syscall(SYS_pwritev, fd, parts, count, offset, 0L);
    nap(delay);
    if (fails('w')) return -1;
    pthread_mutex_lock(&order);
    int flags = fcntl(fd, F_GETFL);
    struct stat before;
    fstat(fd, &before);
    off_t at = flags & O_APPEND ? before.st_size : offset < 0 ? lseek(fd, 0, SEEK_CUR) : offset;
    result = offset < 0 ? syscall(SYS_writev, fd, parts, count) : syscall(SYS_pwritev, fd, parts, count, offset, 0L);
    if (result > 0) {
        note('w', (struct record){.node = before.st_ino, .offset = at, .data_len = result}, NULL, NULL);
        size_t left = result;
        for (int i = 0; left > 0; i++) {
            size_t len = parts[i].iov_len < left ? parts[i].iov_len : left;
            put(parts[i].iov_base, len);
            left -= len;
        }
        if (flags & O_DSYNC) {
            note('s', (struct record){.node = before.st_ino}, NULL, NULL);
            note('e', (struct record){.node = before.st_ino}, NULL, NULL);
        }
    }
    pthread_mutex_unlock(&order);
    return result;
}

#define ONE(data, len) (&(struct iovec){.iov_base = (void *)data, .iov_len = len}), 1
ssize_t write(int fd, const void *data, size_t len) { return write_at(fd, ONE(data, len), -1); }
ssize_t pwrite(int fd, const void *data, size_t len, off_t offset) { return write_at(fd, ONE(data, len), offset); }
ssize_t pwrite64(int fd, const void *data, size_t len, off64_t offset) { return write_at(fd, ONE(data, len), offset); }
ssize_t writev(int fd, const struct iovec *parts, int count) { return write_at(fd, parts, count, -1); }
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) { return write_at(fd, parts, count, at); }
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t at) { return write_at(fd, parts, count, at); }

// Whoever copies in the kernel finds that it cannot, and reads and writes.
ssize_t copy_file_range(int from, off64_t *at, int to, off64_t *to_at, size_t len, unsigned flags) {
    if (!is_traced(to)) return syscall(SYS_copy_file_range, from, at, to, to_at, len, flags);
    errno = ENOSYS;
    return -1;
}
ssize_t sendfile64(int to, int from, off64_t *at, size_t len) {
    if (!is_traced(to)) return syscall(SYS_sendfile, to, from, at, len);
    errno = ENOSYS;
    return -1;
}

int ftruncate(int fd, off_t len) {
    if (!is_traced(fd)) return syscall(SYS_ftruncate, fd, len);
    if (fails('w')) return -1;
    pthread_mutex_lock(&order);
    int result = syscall(SYS_ftruncate, fd, len);
    if (result == 0) note('t', (struct record){.node = node_of(fd), .length = len}, NULL, NULL);
    pthread_mutex_unlock(&order);
    return result;
}
int ftruncate64(int fd, off64_t len) { return ftruncate(fd, len); }

int fallocate(int fd, int mode, off_t offset, off_t len) {
    if (!is_traced(fd)) return syscall(SYS_fallocate, fd, mode, offset, len);
    if (fails('w')) return -1;
    struct stat before;
    pthread_mutex_lock(&order);
    fstat(fd, &before);
    int result = syscall(SYS_fallocate, fd, mode, offset, len);
    if (result == 0 && mode & ~FALLOC_FL_KEEP_SIZE)
        note('?', (struct record){0}, "fallocate that changes contents", NULL);
    else if (result == 0 && mode == 0 && offset + len > before.st_size)
        note('t', (struct record){.node = before.st_ino, .length = offset + len}, NULL, NULL);
    pthread_mutex_unlock(&order);
    return result;
}
int fallocate64(int fd, int mode, off64_t offset, off64_t len) { return fallocate(fd, mode, offset, len); }
int posix_fallocate(int fd, off_t at, off_t len) { return fallocate(fd, 0, at, len) == 0 ? 0 : errno; }
int posix_fallocate64(int fd, off64_t at, off64_t len) { return posix_fallocate(fd, at, len); }

// Syncs. `sync_file_range` and the like promise nothing about a loss of power, and are not recorded as syncs.
static int sync_of(int fd, long call) {
    if (!is_traced(fd)) return syscall(call, fd);
    char held[PATH_MAX];
    if (hold) snprintf(held, sizeof held, "%s.held", hold);
    while (hold && syscall(SYS_faccessat, AT_FDCWD, hold, F_OK) == 0) {
        int made = syscall(SYS_openat, AT_FDCWD, held, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        if (made >= 0) syscall(SYS_close, made);
        nap(500);
    }
    nap(delay);
    if (fails('s')) return -1;
    pthread_mutex_lock(&order);
    note('s', (struct record){.node = node_of(fd)}, NULL, NULL);
    pthread_mutex_unlock(&order);
    int result = syscall(call, fd);
    pthread_mutex_lock(&order);
    if (result == 0) note('e', (struct record){.node = node_of(fd)}, NULL, NULL);
    pthread_mutex_unlock(&order);
    return result;
}
int fsync(int fd) { return sync_of(fd, SYS_fsync); }
int fdatasync(int fd) { return sync_of(fd, SYS_fdatasync); }
int syncfs(int fd) {
    if (is_traced(fd)) note('?', (struct record){0}, "syncfs", NULL);
    return syscall(SYS_syncfs, fd);
}
