// Trains a linear classifier on all nodes at once, as HOGWILD! does: parallel functions follow the
// gradient of the logistic loss and write the same weights without locks. On a node they share one
// copy of weights and matrix; now and then each pushes what changed and pulls what others pushed.
// Where two nodes push the same 4 KiB of weights the last push counts, which costs a few steps.
//
//   faasm upload demo/sgd sgd.wasm --policy spread --memory 512MiB
//   faasm invoke demo/sgd -- generate 85000 1
//   faasm invoke demo/sgd -- train 8 5 shared
//   faasm invoke demo/sgd -- train 8 5 private
//
// `private` does the same with copies: each function reads all of the matrix into its own memory,
// and the caller averages their weights. Needs what `generate` wrote.
#include <faasm.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    FEATURES = 47236, // as many as the RCV1 text collection has
    SHORTEST = 40,    // features of a row; the longest has three times as many
    MOST_FUNCTIONS = 64,
    SYNC_ROWS = 2000, // between two exchanges with the other nodes
    ELEMENT = 1 << 20,
};
static const char *const MATRIX = "sgd/matrix", *const WEIGHTS = "sgd/weights",
                        *const COPIES = "sgd/elements";

// In front of a matrix; behind it `rows + 1` begins of rows, `rows` labels (1 or -1), and the
// columns and values of all rows.
struct header {
    uint64_t bytes;
    uint32_t rows, entries;
};

struct matrix {
    uint32_t rows;
    const uint32_t *begins, *columns;
    const float *labels, *values;
};

// What a function is to do; for private copies the weights follow.
struct task {
    uint32_t part, parts, epoch, is_private;
};

// What came of it; for private copies the weights follow.
struct outcome {
    double loss;
    uint64_t rows, right;
};

static uint64_t draw(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed * 0x2545F4914F6CDD1DULL;
}

static double unit(uint64_t *seed)
{
    return (double)(draw(seed) >> 11) / 9007199254740992.0;
}

static double normal(uint64_t *seed)
{
    double sum = -6;
    for (int i = 0; i < 12; ++i)
        sum += unit(seed);
    return sum;
}

static int fail(const char *what, int error)
{
    fprintf(stderr, "sgd: %s: error %d\n", what, error);
    return 1;
}

static struct matrix at(const uint8_t *bytes)
{
    const struct header *header = (const struct header *)bytes;
    const uint32_t *begins = (const uint32_t *)(header + 1);
    const float *labels = (const float *)(begins + header->rows + 1);
    const uint32_t *columns = (const uint32_t *)(labels + header->rows);
    const float *values = (const float *)(columns + header->entries);
    return (struct matrix){header->rows, begins, columns, labels, values};
}

// Features are drawn as words are: the i-th most frequent with a probability of about 1 / i.
static void make_frequencies(double *sums)
{
    double sum = 0;
    for (int i = 0; i < FEATURES; ++i)
        sums[i] = sum += 1 / pow(i + 2.7, 1.05);
    for (int i = 0; i < FEATURES; ++i)
        sums[i] /= sum;
}

static uint32_t draw_feature(const double *sums, uint64_t *seed)
{
    const double wanted = unit(seed);
    uint32_t low = 0, high = FEATURES - 1;
    while (low < high) {
        const uint32_t middle = (low + high) / 2;
        if (sums[middle] < wanted)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

// Rows of length 1, as texts weighted by how rare their words are; labels by hidden weights, with
// some noise.
static void fill(uint8_t *bytes, uint32_t rows, uint64_t seed)
{
    static double sums[FEATURES];
    static float hidden[FEATURES];
    static uint32_t seen[FEATURES];
    const struct matrix matrix = at(bytes);
    uint32_t *columns = (uint32_t *)matrix.columns;
    float *values = (float *)matrix.values, *labels = (float *)matrix.labels;
    make_frequencies(sums);
    for (int i = 0; i < FEATURES; ++i)
        hidden[i] = (float)normal(&seed);
    for (uint32_t row = 0; row < rows; ++row) {
        const uint32_t begin = matrix.begins[row], end = matrix.begins[row + 1];
        double square = 0, dot = 0;
        for (uint32_t i = begin; i < end; ++i) {
            uint32_t feature = draw_feature(sums, &seed);
            while (seen[feature] == row + 1) // each once
                feature = (feature + 1) % FEATURES;
            seen[feature] = row + 1;
            columns[i] = feature;
            values[i] = (float)log1p(feature);
            square += (double)values[i] * values[i];
        }
        const float scale = (float)(1 / sqrt(square));
        for (uint32_t i = begin; i < end; ++i) {
            values[i] *= scale;
            dot += (double)values[i] * hidden[columns[i]];
        }
        labels[row] = dot + 0.1 * normal(&seed) < 0 ? -1 : 1;
    }
}

// The same bytes as elements of 1 MiB, which a function reads into its own memory.
static int append(const uint8_t *bytes, uint64_t len)
{
    int error = clear_appended_state(COPIES);
    if (error < 0 && error != FAASM_ENOENT)
        return error;
    for (uint64_t done = 0; done < len; done += ELEMENT) {
        const uint64_t size = len - done < ELEMENT ? len - done : ELEMENT;
        error = append_state(COPIES, bytes + done, size);
        if (error < 0)
            return error;
    }
    return 0;
}

static int generate(uint32_t rows, uint64_t seed)
{
    uint64_t lengths = seed * 0x9E3779B97F4A7C15ULL + 1, entries = 0;
    uint32_t *begins = malloc((rows + 1) * sizeof *begins);
    if (begins == NULL)
        return fail("memory for the rows", FAASM_ENOMEM);
    for (uint32_t row = 0; row < rows; ++row) {
        begins[row] = (uint32_t)entries;
        entries += SHORTEST + draw(&lengths) % (2 * SHORTEST + 1);
    }
    begins[rows] = (uint32_t)entries;
    uint64_t len = sizeof(struct header) + (rows + 1) * 4ULL + rows * 4ULL + entries * 8;
    const int gone = delete_state(MATRIX);
    if (gone < 0 && gone != FAASM_ENOENT)
        return fail("the former matrix", gone);
    uint8_t *bytes = get_state(MATRIX, &len, FAASM_STATE_CREATE);
    if (bytes == NULL)
        return fail("the matrix", faasm_errno());
    *(struct header *)bytes = (struct header){len, rows, (uint32_t)entries};
    memcpy(bytes + sizeof(struct header), begins, (rows + 1) * sizeof *begins);
    fill(bytes, rows, lengths);
    int error = push_state(MATRIX);
    if (error == 0)
        error = append(bytes, len);
    if (error < 0)
        return fail("writing the matrix", error);
    printf("%u rows, %u features, %llu entries, %llu bytes\n", rows, FEATURES,
           (unsigned long long)entries, (unsigned long long)len);
    return 0;
}

// One step for each row of a part. Others may write the weights meanwhile.
static void learn(const struct matrix *matrix, volatile float *weights, const struct task *task,
                  struct outcome *outcome, bool shared)
{
    const uint32_t begin = (uint32_t)((uint64_t)matrix->rows * task->part / task->parts);
    const uint32_t end = (uint32_t)((uint64_t)matrix->rows * (task->part + 1) / task->parts);
    const float rate = 4.0F / (1 + task->epoch);
    for (uint32_t row = begin; row < end; ++row) {
        const uint32_t from = matrix->begins[row], to = matrix->begins[row + 1];
        float dot = 0;
        for (uint32_t i = from; i < to; ++i)
            dot += weights[matrix->columns[i]] * matrix->values[i];
        const float label = matrix->labels[row], margin = label * dot;
        // The loss of each row before its own step: of what was learned from others.
        outcome->loss += margin > -30 ? log1p(exp(-margin)) : -margin;
        outcome->right += margin > 0;
        const float step = rate * label / (1 + expf(margin));
        for (uint32_t i = from; i < to; ++i)
            weights[matrix->columns[i]] += step * matrix->values[i];
        if (shared && (row - begin) % SYNC_ROWS == SYNC_ROWS - 1) {
            // What fails now is tried again with the next exchange.
            push_state(WEIGHTS);
            pull_state(WEIGHTS);
        }
    }
    outcome->rows = end - begin;
}

static int learn_shared(const struct task *task)
{
    uint64_t len;
    const uint8_t *bytes = get_state(MATRIX, &len, 0);
    volatile float *weights = (volatile float *)get_state(WEIGHTS, &len, FAASM_STATE_PULL);
    if (bytes == NULL || weights == NULL)
        return fail("state", faasm_errno());
    struct outcome outcome = {0};
    const struct matrix matrix = at(bytes);
    learn(&matrix, weights, task, &outcome, true);
    const int error = push_state(WEIGHTS);
    if (error < 0)
        return fail("pushing the weights", error);
    return write_call_output(&outcome, sizeof outcome) < 0;
}

static int learn_private(const struct task *task, const float *given)
{
    struct header header;
    int64_t got = read_appended_state(COPIES, 1, &header, sizeof header);
    if (got < (int64_t)sizeof header)
        return fail("the elements of the matrix", (int)got);
    uint8_t *bytes = malloc(header.bytes);
    const size_t size = sizeof(struct outcome) + FEATURES * sizeof(float);
    uint8_t *output = calloc(1, size);
    if (bytes == NULL || output == NULL)
        return fail("memory for a copy", FAASM_ENOMEM);
    got = read_appended_state(COPIES, header.bytes / ELEMENT + 1, bytes, header.bytes);
    if (got != (int64_t)header.bytes)
        return fail("reading the matrix", (int)got);
    float *weights = (float *)(output + sizeof(struct outcome));
    memcpy(weights, given, FEATURES * sizeof *weights);
    const struct matrix matrix = at(bytes);
    learn(&matrix, weights, task, (struct outcome *)output, false);
    return write_call_output(output, size) < 0;
}

static int work(void)
{
    size_t len;
    const uint8_t *input = read_call_input(&len);
    const struct task *task = (const struct task *)input;
    if (input == NULL || len < sizeof *task)
        return 1;
    return task->is_private ? learn_private(task, (const float *)(task + 1)) : learn_shared(task);
}

// One pass over all rows by `parts` functions at once.
static int run_epoch(uint32_t epoch, uint32_t parts, bool is_private, float *weights)
{
    static uint8_t input[sizeof(struct task) + FEATURES * sizeof(float)];
    static float sums[FEATURES];
    int calls[MOST_FUNCTIONS];
    const size_t len = is_private ? sizeof input : sizeof(struct task);
    memcpy(input + sizeof(struct task), weights, FEATURES * sizeof *weights);
    for (uint32_t part = 0; part < parts; ++part) {
        *(struct task *)input = (struct task){part, parts, epoch, is_private};
        calls[part] = chain_call_ptr(work, input, len);
        if (calls[part] < 0)
            return fail("a function could not be called", calls[part]);
    }
    struct outcome all = {0};
    memset(sums, 0, sizeof sums);
    for (uint32_t part = 0; part < parts; ++part) {
        size_t size;
        uint8_t *output = get_call_output(calls[part], &size);
        const int result = await_call(calls[part]);
        if (output == NULL || result != 0) {
            fprintf(stderr, "sgd: a function failed: %s\n", call_error(calls[part]));
            return 1;
        }
        const struct outcome *one = (const struct outcome *)output;
        all.loss += one->loss;
        all.rows += one->rows;
        all.right += one->right;
        const float *learned = (const float *)(one + 1);
        for (int i = 0; is_private && i < FEATURES; ++i)
            sums[i] += learned[i] / (float)parts;
        free(output);
    }
    if (is_private)
        memcpy(weights, sums, sizeof sums);
    printf("epoch %u loss %.4f right %.4f\n", epoch + 1, all.loss / (double)all.rows,
           (double)all.right / (double)all.rows);
    return 0;
}

static int train(uint32_t parts, uint32_t epochs, bool is_private)
{
    static float weights[FEATURES];
    if (!is_private) {
        const int error = set_state(WEIGHTS, weights, sizeof weights);
        const int pushed = error < 0 ? error : push_state(WEIGHTS);
        if (pushed < 0)
            return fail("the first weights", pushed);
    }
    for (uint32_t epoch = 0; epoch < epochs; ++epoch) {
        if (run_epoch(epoch, parts, is_private, weights) != 0)
            return 1;
    }
    return 0;
}

static int say_usage(void)
{
    fprintf(stderr, "usage: sgd generate ROWS SEED | sgd train FUNCTIONS EPOCHS shared|private\n");
    return 2;
}

int main(int argc, char **argv)
{
    const long first = argc > 2 ? strtol(argv[2], NULL, 10) : 0;
    const long second = argc > 3 ? strtol(argv[3], NULL, 10) : 0;
    if (argc == 4 && strcmp(argv[1], "generate") == 0 && first >= 1 && first <= 20000000)
        return generate((uint32_t)first, (uint64_t)second + 1);
    const bool may = first >= 1 && first <= MOST_FUNCTIONS && second >= 1;
    if (argc == 5 && strcmp(argv[1], "train") == 0 && may)
        return train((uint32_t)first, (uint32_t)second, strcmp(argv[4], "private") == 0);
    return say_usage();
}
