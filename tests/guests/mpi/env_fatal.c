/* What ends a job: an error, MPI_Abort, a call too early or too late. */
#include "check.h"

int main(int argc, char **argv) {
    int size;
    const char *how = argc > 1 ? argv[1] : "";
    if (strcmp(how, "early") == 0) {
        MPI_Comm_size(MPI_COMM_WORLD, &size);
    }
    MPI_Init(&argc, &argv);
    if (strcmp(how, "abort") == 0) {
        MPI_Abort(MPI_COMM_WORLD, 42);
    } else if (strcmp(how, "error") == 0) {
        MPI_Comm_size(MPI_COMM_NULL, &size);
    }
    MPI_Finalize();
    if (strcmp(how, "late") == 0) {
        MPI_Comm_size(MPI_COMM_WORLD, &size);
    }
    return 0;
}
