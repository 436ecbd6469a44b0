//! What was found is kept as long as it is good, so that a build asks each service once.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// That there is none, or that a source failed, is believed this long.
const NOTHING: Duration = Duration::from_secs(60);

/// A credential is replaced this long before its end, or a quarter of its life if that is shorter.
const MARGIN: Duration = Duration::from_secs(300);

/// What a source last said for one question: something good for a time, nothing, or why it failed.
pub(super) type Outcome<T> = Result<Option<(T, Duration)>, String>;

/// An answer, and until when it is good.
type Answer<T> = (Result<Option<T>, String>, Instant);

/// Answers by question.
pub(super) struct Memory<T>(Mutex<BTreeMap<String, Answer<T>>>);

impl<T> Default for Memory<T> {
    fn default() -> Self {
        Memory(Mutex::default())
    }
}

impl<T: Clone> Memory<T> {
    /// The answer to `question`, from `ask` if none is known that is still good. Whoever comes second waits.
    pub(super) fn get(&self, question: &str, ask: impl FnOnce() -> Outcome<T>) -> Result<Option<T>, String> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((answer, until)) = known.get(question)
            && Instant::now() < *until
        {
            return answer.clone();
        }
        let (answer, lifetime) = match ask() {
            Ok(Some((found, lifetime))) => (Ok(Some(found)), lifetime - MARGIN.min(lifetime / 4)),
            Ok(None) => (Ok(None), NOTHING),
            Err(why) => (Err(why), NOTHING),
        };
        let now = Instant::now();
        known.insert(question.to_owned(), (answer.clone(), now.checked_add(lifetime).unwrap_or(now)));
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_kept_while_it_is_good() {
        let memory = Memory::default();
        let day = Duration::from_secs(86400);
        assert_eq!(memory.get("a", || Ok(Some((1, day)))), Ok(Some(1)));
        assert_eq!(memory.get("a", || Ok(Some((2, day)))), Ok(Some(1)));
        assert_eq!(memory.get("b", || Ok(Some((3, Duration::from_millis(40))))), Ok(Some(3)));
        std::thread::sleep(Duration::from_millis(60));
        assert_eq!(memory.get("b", || Ok(None)), Ok(None));
        assert_eq!(memory.get("b", || Ok(Some((4, day)))), Ok(None));
        assert_eq!(memory.get("c", || Err("why".to_owned())), Err("why".to_owned()));
        assert_eq!(memory.get("c", || Ok(Some((5, day)))), Err("why".to_owned()));
    }
}
