/* Files as programs use them: an input that all ranks read, results that each writes. */
#define _GNU_SOURCE
#include "check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    int rank, words = 0;
    char word[64], text[100] = "";
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    CHECK(argc == 3 && strcmp(argv[1], "-i") == 0);

    FILE *in = fopen(argv[2], "r");
    CHECK(in != NULL);
    while (fscanf(in, "%63s", word) == 1)
        words += 1;
    CHECK(words == 3 && feof(in) && fseek(in, 6, SEEK_SET) == 0);
    CHECK(fscanf(in, "%63s", word) == 1 && strcmp(word, "two") == 0 && ftell(in) == 9);
    fclose(in);
    errno = 0;
    CHECK(fopen("missing", "r") == NULL && errno == ENOENT);
    struct stat about;
    CHECK(stat(argv[2], &about) == 0 && about.st_size == 16 && S_ISREG(about.st_mode));

    FILE *out = fopen("result.txt", "w+");
    CHECK(out != NULL && fprintf(out, "rank %d\n", rank) == 7 && fflush(out) == 0);
    rewind(out);
    CHECK(fgets(text, sizeof text, out) != NULL && atoi(text + 5) == rank);
    fclose(out);
    out = fopen("result.txt", "a");
    CHECK(out != NULL && fputs("more\n", out) >= 0 && fclose(out) == 0);
    CHECK(stat("result.txt", &about) == 0 && about.st_size == 12);

    CHECK(mkdir("dir", 0755) == 0 && chdir("dir") == 0);
    int fd = open("b.bin", O_RDWR | O_CREAT | O_TRUNC, 0644);
    CHECK(fd >= 0 && write(fd, "12345", 5) == 5 && pread(fd, text, 3, 1) == 3);
    CHECK(memcmp(text, "234", 3) == 0 && lseek(fd, 0, SEEK_END) == 5 && ftruncate(fd, 2) == 0);
    CHECK(fstat(fd, &about) == 0 && about.st_size == 2 && close(fd) == 0);
    CHECK(chdir("..") == 0 && rename("dir/b.bin", "dir/c.bin") == 0);
    DIR *folder = opendir("dir");
    struct dirent *entry;
    int names = 0;
    while (folder != NULL && (entry = readdir(folder)) != NULL)
        names += strcmp(entry->d_name, "c.bin") == 0;
    CHECK(names == 1 && closedir(folder) == 0);
    CHECK(rmdir("dir") == -1 && errno == ENOTEMPTY && unlink("dir/c.bin") == 0);
    CHECK(rmdir("dir") == 0 && access("dir", F_OK) == -1);

    char *line = NULL;
    size_t room = 0;
    ssize_t length = getline(&line, &room, stdin);
    CHECK(rank == 0 ? length == 6 && strcmp(line, "typed\n") == 0 : length == -1);
    free(line);
    MPI_Finalize();
    return 0;
}
