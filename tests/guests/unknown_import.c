// Has an import that no host offers, and calls it if there is an argument.
#include <faasm.h>

__attribute__((import_module("strange"), import_name("make_tea"))) int make_tea(int cups);

int main(int argc, char **argv)
{
    (void)argv;
    write_call_output("no tea", 6);
    return argc > 1 ? make_tea(2) : 0;
}
