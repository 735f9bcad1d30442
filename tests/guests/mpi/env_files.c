/* Says what its environment and its arguments are, and writes files as each rank of some programs
   does. */
#include "check.h"

#include <sys/stat.h>

static void put(const char *name, const char *text) {
    FILE *file = fopen(name, "w");
    CHECK(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

int main(int argc, char **argv) {
    int rank;
    char own[16], name[32];
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    printf("%s %s %s %s\n", getenv("A"), getenv("GIVEN"), getenv("PMI_RANK"), argv[1]);
    snprintf(own, sizeof own, "%d", rank);
    put("mine", own);
    put("same", "all");
    CHECK(mkdir("of", 0777) == 0);
    snprintf(name, sizeof name, "of/%d", rank);
    put(name, own);
    MPI_Finalize();
    return 0;
}
