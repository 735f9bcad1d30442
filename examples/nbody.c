// Bodies that attract each other, as an MPI job: each rank has some of them, and a copy of all goes
// round in a ring, so that each rank meets every body once in each step.
//
// usage: nbody [BODIES [STEPS]]      so many bodies (512), so many steps (5)
//
// Rank 0 checks the result against a run of its own without MPI. Sums of forces differ in their last
// digits with their order, so a small difference is allowed. The exit code is 1 if it is larger.
#include <math.h>
#include <mpi.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct {
    double x, y, z, mass;
} body_t;

typedef struct {
    double x, y, z;
} vector_t;

static const double STEP = 1e-3, SOFT = 1e-2, ALLOWED = 1e-9;

static void *make(size_t count, size_t size)
{
    void *made = calloc(count + 1, size);
    if (!made) {
        fprintf(stderr, "nbody: no memory\n");
        MPI_Abort(MPI_COMM_WORLD, 2);
    }
    return made;
}

static body_t body_of(int number)
{
    const double angle = 2.399963 * number, radius = 1 + 0.01 * number;
    const body_t body = {radius * cos(angle), radius * sin(angle), 0.05 * sin(number), 1 + number % 3};
    return body;
}

static void attract(const body_t *mine, int count, const body_t *others, int n, vector_t *force)
{
    for (int i = 0; i < count; i++)
        for (int j = 0; j < n; j++) {
            const double x = others[j].x - mine[i].x, y = others[j].y - mine[i].y;
            const double z = others[j].z - mine[i].z;
            const double square = x * x + y * y + z * z + SOFT;
            const double pull = others[j].mass / (square * sqrt(square));
            force[i].x += pull * x;
            force[i].y += pull * y;
            force[i].z += pull * z;
        }
}

static void move(body_t *bodies, vector_t *speed, vector_t *force, int count)
{
    for (int i = 0; i < count; i++) {
        speed[i].x += STEP * force[i].x;
        speed[i].y += STEP * force[i].y;
        speed[i].z += STEP * force[i].z;
        bodies[i].x += STEP * speed[i].x;
        bodies[i].y += STEP * speed[i].y;
        bodies[i].z += STEP * speed[i].z;
        force[i] = (vector_t){0, 0, 0};
    }
}

static int first_of(int n, int part, int parts)
{
    return (int)((long long)n * part / parts);
}

// A struct type as a C program has it.
static MPI_Datatype body_type(void)
{
    const int lengths[2] = {3, 1};
    const MPI_Aint places[2] = {offsetof(body_t, x), offsetof(body_t, mass)};
    const MPI_Datatype types[2] = {MPI_DOUBLE, MPI_DOUBLE};
    MPI_Datatype type;
    MPI_Type_create_struct(2, lengths, places, types, &type);
    MPI_Type_commit(&type);
    return type;
}

static int check(const body_t *all, int n, int steps)
{
    body_t *bodies = make((size_t)n, sizeof(body_t));
    vector_t *speed = make((size_t)n, sizeof(vector_t)), *force = make((size_t)n, sizeof(vector_t));
    for (int i = 0; i < n; i++)
        bodies[i] = body_of(i);
    for (int step = 0; step < steps; step++) {
        attract(bodies, n, bodies, n, force);
        move(bodies, speed, force, n);
    }
    int wrong = 0;
    for (int i = 0; i < n; i++) {
        const double off = fabs(all[i].x - bodies[i].x) + fabs(all[i].y - bodies[i].y) +
                           fabs(all[i].z - bodies[i].z);
        wrong += !(off < ALLOWED) || all[i].mass != bodies[i].mass;
    }
    free(bodies);
    free(speed);
    free(force);
    return wrong;
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    const int n = argc > 1 ? atoi(argv[1]) : 512, steps = argc > 2 ? atoi(argv[2]) : 5;
    int rank, size;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    if (n < 1 || n > 100000 || steps < 0) {
        fprintf(stderr, "usage: nbody [BODIES [STEPS]], with 1 to 100000 bodies\n");
        MPI_Abort(MPI_COMM_WORLD, 2);
    }
    MPI_Datatype type = body_type();
    const int first = first_of(n, rank, size), count = first_of(n, rank + 1, size) - first;
    const int most = n / size + 1;
    body_t *mine = make((size_t)count, sizeof(body_t));
    body_t *guests = make((size_t)most, sizeof(body_t)), *next = make((size_t)most, sizeof(body_t));
    vector_t *speed = make((size_t)count, sizeof(vector_t));
    vector_t *force = make((size_t)count, sizeof(vector_t));
    for (int i = 0; i < count; i++)
        mine[i] = body_of(first + i);

    MPI_Barrier(MPI_COMM_WORLD);
    const double begun = MPI_Wtime();
    const int to = (rank + 1) % size, from = (rank + size - 1) % size;
    for (int step = 0; step < steps; step++) {
        int here = count;
        for (int i = 0; i < count; i++)
            guests[i] = mine[i];
        for (int turn = 0; turn < size; turn++) {
            MPI_Request requests[2];
            MPI_Status statuses[2];
            // The next guests are on their way while these are met.
            MPI_Irecv(next, most, type, from, step, MPI_COMM_WORLD, &requests[0]);
            MPI_Isend(guests, here, type, to, step, MPI_COMM_WORLD, &requests[1]);
            attract(mine, count, guests, here, force);
            MPI_Waitall(2, requests, statuses);
            MPI_Get_count(&statuses[0], type, &here);
            body_t *swapped = guests;
            guests = next;
            next = swapped;
        }
        move(mine, speed, force, count);
    }
    MPI_Barrier(MPI_COMM_WORLD);
    const double seconds = MPI_Wtime() - begun;

    int *counts = make((size_t)size, sizeof(int)), *places = make((size_t)size, sizeof(int));
    for (int part = 0; part < size; part++) {
        places[part] = first_of(n, part, size);
        counts[part] = first_of(n, part + 1, size) - places[part];
    }
    body_t *all = make((size_t)n, sizeof(body_t));
    MPI_Gatherv(mine, count, type, all, counts, places, type, 0, MPI_COMM_WORLD);
    int wrong = rank == 0 ? check(all, n, steps) : 0;
    MPI_Bcast(&wrong, 1, MPI_INT, 0, MPI_COMM_WORLD);
    if (rank == 0)
        printf("nbody: %d bodies, %d steps on %d ranks: %.4f s; %s\n", n, steps, size, seconds,
               wrong ? "WRONG" : "the same as on one rank");
    free(all);
    free(counts);
    free(places);
    free(mine);
    free(guests);
    free(next);
    free(speed);
    free(force);
    MPI_Type_free(&type);
    MPI_Finalize();
    return wrong != 0;
}
