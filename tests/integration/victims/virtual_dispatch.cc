// SPDX-License-Identifier: MIT
// A small interpreter whose operations are virtual functions, nine of ten of them the
// same one: what a compiler gains by knowing whom an indirect call goes to.
//
//     virtual_dispatch SEED ROUNDS
//
// Prints a checksum that depends on both.  SEED makes the program that is interpreted.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

namespace {

struct operation {
	virtual ~operation() = default;
	virtual uint64_t apply(uint64_t x) const = 0;
};

struct add final : operation {
	uint64_t by;
	explicit add(uint64_t n) : by(n) {}
	uint64_t apply(uint64_t x) const override { return x + by; }
};

struct rotate final : operation {
	unsigned by;
	explicit rotate(unsigned n) : by(n % 63 + 1) {}
	uint64_t apply(uint64_t x) const override { return (x << by) | (x >> (64 - by)); }
};

struct mix final : operation {
	uint64_t apply(uint64_t x) const override
	{
		x ^= x >> 29;
		if (x % 1021 == 0) // rare
			x = ~x;
		return x * UINT64_C(0x9e3779b97f4a7c15);
	}
};

struct divide final : operation {
	uint64_t by;
	explicit divide(uint64_t n) : by(n | 1) {}
	uint64_t apply(uint64_t x) const override { return x / by; }
};

uint64_t random_state;

uint64_t next_random()
{
	random_state += UINT64_C(0x9e3779b97f4a7c15);
	uint64_t z = random_state;
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	return z ^ (z >> 27);
}

std::unique_ptr<operation> make_operation()
{
	uint64_t r = next_random(), kind = r % 100;
	if (kind < 94)
		return std::make_unique<add>(r >> 8);
	if (kind < 96)
		return std::make_unique<rotate>(static_cast<unsigned>(r >> 8));
	if (kind < 98)
		return std::make_unique<mix>();
	return std::make_unique<divide>(r >> 8);
}

__attribute__((noinline)) uint64_t interpret(const std::vector<std::unique_ptr<operation>> &program, uint64_t x)
{
	uint64_t sum = 0;
	for (const auto &op : program)
		sum += op->apply(x);
	return sum;
}

} // namespace

int main(int argc, char **argv)
{
	random_state = argc > 1 ? strtoull(argv[1], nullptr, 0) : 1;
	uint64_t rounds = argc > 2 ? strtoull(argv[2], nullptr, 0) : 1000;
	std::vector<std::unique_ptr<operation>> program;
	for (int i = 0; i < 400; i++)
		program.push_back(make_operation());
	uint64_t sum = 0;
	for (uint64_t i = 0; i < rounds; i++)
		sum = (sum << 1) ^ interpret(program, i + sum);
	printf("%016llx\n", static_cast<unsigned long long>(sum));
	return 0;
}
