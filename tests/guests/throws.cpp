// Throws: compiles, and the call ends with an error.
#include <stdexcept>

int main(int argc, char **)
{
    if (argc > 0)
        throw std::runtime_error("thrown");
    return 0;
}
