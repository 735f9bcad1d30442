// Pi, in C++: the area under 4 / (1 + x^2) from 0 to 1, a call for each part of it.
//
//   faasm upload demo/pi pi.wasm --policy spread
//   faasm invoke demo/pi -- 16
#include <faasm.h>

#include <cstring>
#include <iomanip>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

namespace {

constexpr long steps_per_part = 2'000'000;

struct Part {
    long index;
    long count;
};

int add_part()
{
    uint8_t *input = read_call_input(nullptr);
    if (input == nullptr)
        return 1;
    Part part;
    std::memcpy(&part, input, sizeof part);

    const double width = 1.0 / (static_cast<double>(part.count) * steps_per_part);
    double area = 0;
    for (long step = 0; step < steps_per_part; ++step) {
        const double x = (static_cast<double>(part.index) * steps_per_part + step + 0.5) * width;
        area += 4.0 / (1.0 + x * x) * width;
    }
    return write_call_output(&area, sizeof area) < 0;
}

} // namespace

int main(int argc, char **argv)
{
    const long count = argc > 1 ? std::stol(argv[1]) : 8;
    std::vector<int> calls;
    for (long index = 0; index < count; ++index) {
        const Part part{index, count};
        calls.push_back(chain_call_ptr(add_part, &part, sizeof part));
    }

    double pi = 0;
    for (const int call : calls) {
        uint8_t *output = get_call_output(call, nullptr);
        if (output == nullptr) {
            std::cerr << "a part failed: error " << faasm_errno() << std::endl;
            return 1;
        }
        double area;
        std::memcpy(&area, output, sizeof area);
        pi += area;
        free(output);
    }
    std::ostringstream text;
    text << std::fixed << std::setprecision(9) << pi << '\n';
    const std::string output = text.str();
    return write_call_output(output.data(), output.size()) < 0;
}
