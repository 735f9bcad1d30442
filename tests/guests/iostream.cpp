// C++ as people write it: streams, containers, static constructors and destructors.
#include <faasm.h>

#include <algorithm>
#include <iostream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

namespace {

struct Announcer {
    std::string name{"announcer"};
    Announcer() { std::cout << name << " up" << std::endl; }
    ~Announcer() { std::cout << name << " down" << std::endl; }
} announcer;

struct Shape {
    virtual ~Shape() = default;
    virtual double area() const = 0;
};

struct Square : Shape {
    explicit Square(double side) : side(side) {}
    double area() const override { return side * side; }
    double side;
};

} // namespace

int main()
{
    std::map<std::string, std::unique_ptr<Shape>> shapes;
    shapes["small"] = std::make_unique<Square>(1.5);
    shapes["large"] = std::make_unique<Square>(4);
    std::ostringstream text;
    for (const auto &[name, shape] : shapes)
        text << name << ' ' << shape->area() << '\n';
    std::vector<int> numbers{3, 1, 2};
    std::sort(numbers.begin(), numbers.end(), [](int a, int b) { return a > b; });
    for (const int number : numbers)
        text << number;
    const std::string output = text.str();
    return write_call_output(output.data(), output.size()) < 0;
}
