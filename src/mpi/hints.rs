//! Hints: values by keys, in the order in which the keys were first set. The standard asks for no
//! order, but programs number keys as they set them.

/// Hints by their keys. They are few: an object has at most a thousand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hints(Vec<(Vec<u8>, Vec<u8>)>);

impl Hints {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sets a value. A key that there is stays where it is.
    pub fn insert(&mut self, key: Vec<u8>, value: Vec<u8>) {
        match self.0.iter_mut().find(|(known, _)| *known == key) {
            Some((_, old)) => *old = value,
            None => self.0.push((key, value)),
        }
    }

    /// The value of a key.
    pub fn get(&self, key: &[u8]) -> Option<&Vec<u8>> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// Forgets a key; those behind it move up. Whether there was one.
    pub fn remove(&mut self, key: &[u8]) -> bool {
        let before = self.0.len();
        self.0.retain(|(known, _)| known != key);
        self.0.len() < before
    }

    /// The keys, in order.
    pub fn keys(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.0.iter().map(|(key, _)| key)
    }

    /// Sets all that others have.
    pub fn extend(&mut self, others: Self) {
        others.0.into_iter().for_each(|(key, value)| self.insert(key, value));
    }
}

impl<const N: usize> From<[(Vec<u8>, Vec<u8>); N]> for Hints {
    fn from(all: [(Vec<u8>, Vec<u8>); N]) -> Self {
        Self(all.into())
    }
}

#[cfg(test)]
mod tests {
    use super::Hints;

    #[test]
    fn keys_stay_in_the_order_in_which_they_were_set() {
        let mut hints = Hints::new();
        for key in ["z", "a", "m", "a", "b"] {
            hints.insert(key.into(), format!("{key}{}", hints.len()).into());
        }
        assert!(hints.remove(b"m") && !hints.remove(b"m"));
        let keys: Vec<_> = hints.keys().map(|key| String::from_utf8_lossy(key)).collect();
        assert_eq!(keys, ["z", "a", "b"]);
        assert_eq!(hints.get(b"a"), Some(&b"a3".to_vec()));
    }
}
