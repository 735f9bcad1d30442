// Ends with the result that the argument names, by exit if there is a second one, else from main.
// Without any it chains nothing and returns 0.
#include <stdlib.h>

int main(int argc, char **argv)
{
    const int code = argc > 1 ? atoi(argv[1]) : 0;
    if (argc > 2)
        exit(code);
    return code;
}
