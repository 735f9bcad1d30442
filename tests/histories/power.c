// Preloaded into a node: notes which bytes of its logs were written and which were made durable, so
// that after a kill -9 a test can take away what a power failure would have. In the folder that
// FAASM_POWER_DIR names, a file per process, in the order of their names, of records of five 64-bit
// numbers: kind (0 written, 1 made durable), inode, offset, length, and the record's number; a record
// of kind 1 has instead of the offset the number below which all that was written to that file is
// durable.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int notes = -1;
static _Atomic uint64_t numbers;

__attribute__((constructor)) static void begin(void) {
    const char *dir = getenv("FAASM_POWER_DIR");
    char path[4096];
    if (!dir) return;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(path, sizeof(path), "%s/%012llu.%09ld-%d", dir, (unsigned long long)now.tv_sec,
             now.tv_nsec, (int)getpid());
    notes = open(path, O_CREAT | O_APPEND | O_WRONLY | O_CLOEXEC, 0600);
}

// The inode of a file of a log; 0 for other files.
static uint64_t log_file(int fd) {
    char link[64], path[4096];
    struct stat stat;
    if (notes < 0) return 0;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof(path) - 1);
    if (len < 0) return 0;
    path[len] = 0;
    const char *end = strrchr(path, '.');
    if (!end || (strcmp(end, ".raftlog") && strcmp(end, ".rewrite"))) return 0;
    return fstat(fd, &stat) ? 0 : stat.st_ino;
}

static void note(uint64_t kind, uint64_t inode, uint64_t off, uint64_t len) {
    uint64_t record[5] = { kind, inode, off, len, atomic_fetch_add(&numbers, 1) };
    ssize_t written = write(notes, record, sizeof(record));
    if (written != sizeof(record)) abort();
}

static ssize_t write_at(const char *name, int fd, const void *bytes, size_t len, off_t off) {
    ssize_t (*real)(int, const void *, size_t, off_t);
    *(void **)&real = dlsym(RTLD_NEXT, name);
    uint64_t inode = log_file(fd);
    if (inode) note(0, inode, (uint64_t)off, len);
    return real(fd, bytes, len, off);
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t off) {
    return write_at("pwrite", fd, bytes, len, off);
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t off) {
    return write_at("pwrite64", fd, bytes, len, off);
}

static int sync_with(const char *name, int fd) {
    int (*real)(int);
    *(void **)&real = dlsym(RTLD_NEXT, name);
    uint64_t inode = log_file(fd), before = atomic_load(&numbers);
    int result = real(fd);
    if (inode && result == 0) note(1, inode, before, 0);
    return result;
}

int fdatasync(int fd) {
    return sync_with("fdatasync", fd);
}

int fsync(int fd) {
    return sync_with("fsync", fd);
}
