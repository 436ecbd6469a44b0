//! Keys by what they are known to be, and by what must not have one in common.

use std::collections::HashSet;

use super::*;

fn part(kind: Kind, name: &str, value: &str) -> Part {
    Part::new(kind, name, value)
}

/// Computed by another program: hashlib and struct of Python.
#[test]
fn keys_are_what_they_were() {
    let check = |parts: &[Part], expected: &str| assert_eq!(key(parts).as_str(), expected, "{parts:?}");
    check(&[], EMPTY);
    check(&[part(Kind::Base, "", "x"), part(Kind::Instruction, "RUN", "true")], TWO);
    let argument = Stretcher::default().part(Kind::Argument, "VERSION", "7");
    check(&[argument], ARGUMENT);
    let all: Vec<Part> = NAMES.iter().map(|(kind, name)| Part::new(*kind, *name, [0xff, 0])).collect();
    check(&all, ALL);
}

const EMPTY: &str = "699fdff16e837661814abc5d561700e21b0ce737a5b6fb1a046ebd7f933dcf21";
const TWO: &str = "4a51b229354e87d23e27fd2e8e94f5efbe07332d0b48e86a1e50c7ae5af1c2ab";
const ARGUMENT: &str = "cc28a7b29dfd909f1fb9972cca7b82f595102c2b01ac5f9ab91b222aecf9a65b";
const ALL: &str = "071d2fb6dc72254d9abeff3f5fbccc7ddfdf09bc837027fc3524365596179ca5";

#[test]
fn every_kind_has_one_name() {
    assert!(NAMES.iter().all(|(kind, name)| kind.name() == *name && Kind::of_name(name) == Some(*kind)));
    assert_eq!(NAMES.iter().map(|(_, name)| name).collect::<HashSet<_>>().len(), NAMES.len());
    assert_eq!(Kind::of_name("other"), None);
}

/// A generator of numbers that need not be good, only many.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % limit.max(1)
    }

    /// Bytes of which borders are made, and few others.
    fn bytes(&mut self) -> Vec<u8> {
        (0..self.below(6)).map(|_| b"a=-\0\n/|\x01"[self.below(8)]).collect()
    }

    fn parts(&mut self) -> Vec<Part> {
        (0..1 + self.below(4))
            .map(|_| Part { kind: NAMES[self.below(NAMES.len())].0, name: self.bytes(), value: self.bytes() })
            .collect()
    }
}

/// The same bytes in the same order with one border elsewhere: between a name and its value, a value and the next name, or as one
/// part more or fewer.
fn moved(parts: &[Part], numbers: &mut Numbers) -> Vec<Part> {
    let mut parts = parts.to_vec();
    let at = numbers.below(parts.len());
    match numbers.below(4) {
        0 => {
            let whole = [parts[at].name.clone(), parts[at].value.clone()].concat();
            let (name, value) = whole.split_at(numbers.below(whole.len() + 1));
            (parts[at].name, parts[at].value) = (name.to_vec(), value.to_vec());
        }
        1 if at + 1 < parts.len() => {
            let whole = [parts[at].value.clone(), parts[at + 1].name.clone()].concat();
            let (value, name) = whole.split_at(numbers.below(whole.len() + 1));
            (parts[at].value, parts[at + 1].name) = (value.to_vec(), name.to_vec());
        }
        2 if at + 1 < parts.len() => {
            let next = parts.remove(at + 1);
            let kind = if numbers.below(2) == 0 { next.kind.name().as_bytes() } else { b"" };
            parts[at].value.extend([kind, &next.name, &next.value].concat());
        }
        _ => {
            let end = numbers.below(parts[at].value.len() + 1);
            let value = parts[at].value.split_off(end);
            let kind = parts[at].kind;
            parts.insert(at + 1, Part { kind, name: value, value: Vec::new() });
        }
    }
    parts
}

#[test]
fn bytes_that_move_across_a_border_make_another_key() {
    let (mut numbers, mut pairs) = (Numbers(1), 0);
    while pairs < 100_000 {
        let one = numbers.parts();
        let other = moved(&one, &mut numbers);
        if one != other {
            assert_ne!(key(&one), key(&other), "{one:?} and {other:?}");
            pairs += 1;
        }
    }
}

#[test]
fn the_pairs_would_find_a_key_without_frames() {
    let unframed = |parts: &[Part]| -> Vec<u8> {
        parts.iter().flat_map(|part| [part.name.clone(), part.value.clone()].concat()).collect()
    };
    let mut numbers = Numbers(1);
    let is_found = (0..1000).any(|_| {
        let one = numbers.parts();
        let other = moved(&one, &mut numbers);
        one != other && unframed(&one) == unframed(&other)
    });
    assert!(is_found);
}

#[test]
fn a_value_is_stretched_with_its_name() {
    let mut stretcher = Stretcher::default();
    let mut value = |name: &str, value: &str| stretcher.part(Kind::Argument, name, value).value;
    let (one, again) = (value("A", "x"), value("A", "x"));
    assert_eq!(one, again);
    assert_ne!(one, value("B", "x"));
    assert_ne!(one, value("A", "y"));
    assert!(!one.windows(1).all(|byte| byte == b"x") && one.len() == 32);
}
