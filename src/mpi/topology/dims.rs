//! Grids for a number of ranks that are as even as they can be.

/// Factors of `number`, so many, the largest first, as close to each other as possible: the largest
/// and the smallest differ by as little as they can, and of such the largest are smallest.
pub fn balanced(number: u32, count: usize) -> Vec<u32> {
    let primes = primes(number);
    // With a factor for each prime, and ones, nothing is evener.
    if count >= primes.len() {
        let mut all: Vec<u32> = primes.into_iter().rev().collect();
        all.resize(count, 1);
        return all;
    }
    let divisors = divisors(&primes);
    let mut search = Search { divisors, best: Vec::new(), spread: u32::MAX };
    search.go(number, count, number, &mut Vec::new());
    search.best
}

struct Search {
    /// Of the number, the smallest first.
    divisors: Vec<u32>,
    best: Vec<u32>,
    spread: u32,
}

impl Search {
    /// Tries all that `chosen` may go on with, the smallest largest factors first.
    fn go(&mut self, rest: u32, count: usize, most: u32, chosen: &mut Vec<u32>) {
        let largest = chosen.first().copied();
        if count == 1 {
            let spread = largest.map_or(0, |largest| largest - rest);
            // Ties are found in order, so that the first is best.
            if rest <= most && (self.best.is_empty() || spread < self.spread) {
                self.spread = spread;
                self.best = chosen.iter().copied().chain([rest]).collect();
            }
            return;
        }
        let root = root(rest, count);
        let from = self.divisors.partition_point(|divisor| *divisor < root.1);
        for at in from..self.divisors.len() {
            let Some(factor) = self.divisors.get(at).copied().filter(|f| *f <= most) else { break };
            // The smallest factor is at most the root.
            let least = largest.unwrap_or(factor) - root.0.min(largest.unwrap_or(factor));
            if !self.best.is_empty() && least >= self.spread {
                break;
            }
            if rest.is_multiple_of(factor) {
                chosen.push(factor);
                self.go(rest / factor, count - 1, factor, chosen);
                chosen.pop();
            }
        }
    }
}

/// The root, rounded down and up.
fn root(number: u32, degree: usize) -> (u32, u32) {
    let degree = u32::try_from(degree).unwrap_or(u32::MAX);
    let power = |base: u32| u64::from(base).checked_pow(degree).unwrap_or(u64::MAX);
    let (mut low, mut high) = (1, number.max(1));
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if power(middle) <= u64::from(number) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    (low, if power(low) == u64::from(number) { low } else { low + 1 })
}

/// The prime factors, the smallest first.
fn primes(number: u32) -> Vec<u32> {
    let (mut rest, mut factor, mut all) = (number, 2, Vec::new());
    while factor <= rest / factor {
        if rest.is_multiple_of(factor) {
            all.push(factor);
            rest /= factor;
        } else {
            factor += 1;
        }
    }
    if rest > 1 {
        all.push(rest);
    }
    all
}

fn divisors(primes: &[u32]) -> Vec<u32> {
    let mut all = vec![1];
    for prime in primes {
        let more: Vec<u32> = all.iter().map(|divisor| divisor * prime).collect();
        all.extend(more);
        all.sort_unstable();
        all.dedup();
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All ways to write a number as so many factors, the largest first.
    fn ways(number: u32, count: usize, most: u32) -> Vec<Vec<u32>> {
        if count == 1 {
            return if number <= most { vec![vec![number]] } else { Vec::new() };
        }
        let factors = (1..=most.min(number)).filter(|factor| number.is_multiple_of(*factor));
        factors
            .flat_map(|factor| {
                let rest = ways(number / factor, count - 1, factor);
                rest.into_iter().map(move |rest| [vec![factor], rest].concat())
            })
            .collect()
    }

    #[test]
    fn no_way_is_evener() {
        for number in 1..=400 {
            for count in 1..=5 {
                let found = balanced(number, count);
                assert_eq!(found.len(), count);
                assert_eq!(found.iter().product::<u32>(), number);
                assert!(found.windows(2).all(|pair| pair[0] >= pair[1]), "{found:?}");
                let spread = |way: &[u32]| way[0] - way[way.len() - 1];
                let all = ways(number, count, number);
                let best = all.iter().min_by_key(|way| (spread(way), (*way).clone()));
                assert_eq!(spread(&found), spread(best.unwrap()), "{number} {count} {found:?}");
                assert_eq!(&found, best.unwrap(), "{number} {count}");
            }
        }
    }

    #[test]
    fn large_numbers_are_searched_to_the_end() {
        for number in [i32::MAX.unsigned_abs(), 1 << 30, 735_134_400, 1_396_755_360, 2_095_133_040]
        {
            for count in 1..=32 {
                let product = balanced(number, count).iter().product::<u32>();
                assert_eq!(product, number);
            }
        }
        assert_eq!(balanced(1 << 30, 2), [1 << 15, 1 << 15]);
        assert_eq!(balanced(7, 2), [7, 1]);
        assert_eq!(balanced(1, 3), [1, 1, 1]);
    }
}
