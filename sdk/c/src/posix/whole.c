// Reads and writes of any length at once, as on a workstation: the host takes a part of long ones.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

typedef ssize_t (*Transfer)(int fd, const struct iovec *piece, int count, off_t offset);

static ssize_t whole(Transfer transfer, int fd, const void *data, size_t size, off_t offset)
{
    size_t done = 0;
    do {
        struct iovec piece = {.iov_base = (char *)data + done, .iov_len = size - done};
        ssize_t moved = transfer(fd, &piece, 1, offset + (off_t)done);
        if (moved < 0)
            return done > 0 ? (ssize_t)done : -1;
        if (moved == 0)
            break;
        done += (size_t)moved;
    } while (done < size);
    return (ssize_t)done;
}

static ssize_t writes(int fd, const struct iovec *piece, int count, off_t offset)
{
    (void)offset;
    return writev(fd, piece, count);
}

static ssize_t reads(int fd, const struct iovec *piece, int count, off_t offset)
{
    (void)offset;
    return readv(fd, piece, count);
}

ssize_t write(int fd, const void *data, size_t size) { return whole(writes, fd, data, size, 0); }

// What is there of stdin is given at once.
ssize_t read(int fd, void *data, size_t size)
{
    struct iovec piece = {.iov_base = data, .iov_len = size};
    return fd == STDIN_FILENO ? readv(fd, &piece, 1) : whole(reads, fd, data, size, 0);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    return whole(pwritev, fd, data, size, offset);
}

ssize_t pread(int fd, void *data, size_t size, off_t offset)
{
    return whole(preadv, fd, data, size, offset);
}

// The libc takes the output for a terminal, so that lines go out as they end. It is none.
int isatty(int fd)
{
    if (fcntl(fd, F_GETFL) >= 0)
        errno = ENOTTY;
    return 0;
}
