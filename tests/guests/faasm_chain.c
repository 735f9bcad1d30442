// A function in Faasm's C manner: chains by name, by pointer and in a batch, awaits with and
// without output. Returns 0 when all outputs are right. Needs `echo` of the same user.
#include "faasm/faasm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int doubled(void)
{
    uint8_t input[16] = {0};
    faasmGetInput(input, sizeof(input) - 1);
    char output[16];
    sprintf(output, "%d", 2 * atoi((char*)input));
    faasmSetOutput(output, strlen(output));
    return 0;
}

int failing(void)
{
    return 3;
}

int main(int argc, char* argv[])
{
    const char* text = "by name";
    unsigned int named = faasmChainNamed("echo", (const uint8_t*)text, strlen(text));
    unsigned int pointed = faasmChain(doubled, (const uint8_t*)"21", 2);
    unsigned int batch = faasmChainBatch(doubled, "4", 3);

    char* output = NULL;
    int outputLen = 0;
    if (faasmAwaitCallOutput(named, &output, &outputLen) != 0 || outputLen != (int)strlen(text) ||
        strncmp(output, text, outputLen) != 0) {
        printf("by name: wrong\n");
        return 1;
    }
    if (faasmAwaitCallOutput(pointed, &output, &outputLen) != 0 || outputLen != 2 ||
        strncmp(output, "42", 2) != 0) {
        printf("by pointer: wrong\n");
        return 2;
    }
    for (unsigned int i = 0; i < 3; i++) {
        if (faasmAwaitCallOutput(batch + i, &output, &outputLen) != 0 || output[0] != '8') {
            printf("batch: wrong\n");
            return 3;
        }
    }
    if (faasmAwaitCall(faasmChain(failing, NULL, 0)) != 3) {
        printf("result: wrong\n");
        return 4;
    }
    faasmSetOutput("done", 4);
    return 0;
}
