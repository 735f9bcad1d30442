// One program for the tests of jobs: what its ranks do is said by the arguments.
#include <faasm.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int rank, size;

static int number(int argc, char **argv, int at, int otherwise)
{
    return argc > at ? atoi(argv[at]) : otherwise;
}

// A sum goes round; rank 0 makes it the job's output.
static int ring(void)
{
    int sum = 0;
    if (rank > 0)
        MPI_Recv(&sum, 1, MPI_INT, rank - 1, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    sum += rank + 1;
    if (size > 1)
        MPI_Send(&sum, 1, MPI_INT, (rank + 1) % size, 1, MPI_COMM_WORLD);
    if (rank == 0) {
        if (size > 1)
            MPI_Recv(&sum, 1, MPI_INT, size - 1, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        char text[32];
        const int len = snprintf(text, sizeof text, "%d", sum);
        write_call_output(text, (size_t)len);
    }
    return 0;
}

// Which ranks are on one node: those of the same processor name.
static void hosts(void)
{
    char name[MPI_MAX_PROCESSOR_NAME];
    int len;
    MPI_Get_processor_name(name, &len);
    printf("%d %s\n", rank, name);
}

// Messages go to and fro for ever between neighbours.
static void forever(void)
{
    const int other = rank ^ 1;
    int token = 0;
    printf("begun\n");
    fflush(stdout);
    while (other >= size)
        MPI_Recv(&token, 1, MPI_INT, rank, 7, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    for (;;)
        MPI_Sendrecv_replace(&token, 1, MPI_INT, other, 7, other, 7, MPI_COMM_WORLD,
                             MPI_STATUS_IGNORE);
}

static void compute_forever(void)
{
    volatile unsigned turns = 0;
    for (;;)
        turns++;
}

static void copy_stdin(void)
{
    char line[256];
    int lines = 0;
    while (fgets(line, sizeof line, stdin)) {
        lines++;
        printf("read %s", line);
    }
    printf("%d lines\n", lines);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "ring";
    const int code = number(argc, argv, 2, 0), who = number(argc, argv, 3, 0);
    if (strcmp(what, "plain") == 0) {
        printf("no MPI\n");
        return code;
    }
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    if (strcmp(what, "ring") == 0)
        ring();
    else if (strcmp(what, "hosts") == 0)
        hosts();
    else if (strcmp(what, "stdin") == 0)
        copy_stdin();
    else if (strcmp(what, "forever") == 0)
        forever();
    else if (strcmp(what, "lines") == 0) {
        for (int line = 0; line < code; line++)
            printf("line %d of rank %d\n", line, rank);
    } else if (strcmp(what, "abort") == 0 && rank == who)
        MPI_Abort(MPI_COMM_WORLD, code);
    else if (strcmp(what, "leave") == 0 && rank == who)
        exit(code);
    else if (strcmp(what, "trap") == 0 && rank == who)
        __builtin_trap();
    else if (strcmp(what, "exit") != 0) {
        // Another rank ends the job, however busy this one is.
        if (rank % 2)
            compute_forever();
        forever();
    }
    MPI_Finalize();
    return strcmp(what, "exit") == 0 && rank == who ? code : 0;
}
