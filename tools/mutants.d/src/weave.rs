//! Puts all mutants of a file into it at once: each function becomes a `match` on the number of the
//! mutant that is to live, with a copy of its body for each of its mutants. So they cost one build
//! together, not one each.
//!
//! Two bodies whose result is an `impl Iterator` are two types, and become one by an enum of both.
//! What cannot be switched at run time is left out: constants, `const fn`, and functions with other
//! opaque results.

use std::ops::Range;

use proc_macro2::LineColumn;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Block, GenericArgument, PathArguments, ReturnType, Signature, Type, TypeParamBound};

use crate::mutant::{Mutant, Place};

const NEVER: &str = "#[inline(never)]";
/// Bodies that are iterators: this one,
const ONE: &str = "crate::mutant_switch::Either::One(";
/// not this one, but one of those that follow.
const OTHER: &str = "crate::mutant_switch::Either::Other(";

/// A function that may be switched: where its body is, braces and all.
struct Body {
    bytes: Range<usize>,
    result: Result,
}

/// What a function gives, as far as it matters to a `match` on bodies.
#[derive(PartialEq, Eq)]
enum Result {
    /// One type.
    Plain,
    /// `impl Iterator` of this: each body has its own type.
    Iterator(String),
    /// Nothing that can be switched.
    Fixed,
}

/// A mutant that is woven in.
#[derive(Clone)]
pub(crate) struct Arm {
    pub(crate) number: usize,
    /// The lines of its body.
    pub(crate) lines: Range<usize>,
    /// The number of its function.
    pub(crate) function: usize,
}

/// A file with its mutants in it.
pub(crate) struct Woven {
    pub(crate) text: String,
    pub(crate) arms: Vec<Arm>,
    /// Mutants that could not be switched.
    pub(crate) alone: Vec<usize>,
}

/// Byte offsets of the lines of a text.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        let ends = text.match_indices('\n').map(|(at, _)| at + 1);
        Self { text, starts: std::iter::once(0).chain(ends).collect() }
    }

    fn byte(&self, at: Place) -> usize {
        let start = self.starts[at.line - 1];
        let rest = &self.text[start..];
        start + rest.char_indices().nth(at.column - 1).map_or(rest.len(), |(byte, _)| byte)
    }

    fn bytes(&self, mutant: &Mutant) -> Range<usize> {
        self.byte(mutant.span.start)..self.byte(mutant.span.end)
    }
}

/// Changes a text in one place only.
pub(crate) fn apply(text: &str, mutant: &Mutant) -> String {
    let at = Lines::new(text).bytes(mutant);
    format!("{}{}{}", &text[..at.start], mutant.replacement, &text[at.end..])
}

/// Weaves mutants, each with its number, into the text of their file. Functions are numbered, for
/// whoever wants to know which are reached, by the first of their mutants.
pub(crate) fn weave(text: &str, mutants: &[(usize, &Mutant)]) -> syn::Result<Woven> {
    let lines = Lines::new(text);
    let mut bodies = Bodies { lines: &lines, found: Vec::new() };
    bodies.visit_file(&syn::parse_file(text)?);
    let mut woven = Woven { text: String::new(), arms: Vec::new(), alone: Vec::new() };
    let mut left: Vec<_> = mutants.iter().map(|(n, m)| (*n, lines.bytes(m), *m)).collect();
    let mut done = 0;
    for body in bodies.found {
        let is_in = |at: &Range<usize>| at.start >= body.bytes.start && at.end <= body.bytes.end;
        let (own, others) = left.into_iter().partition(|(_, at, _)| is_in(at));
        left = others;
        if body.result != Result::Fixed {
            woven.text.push_str(&text[done..body.bytes.start]);
            woven.function(text, &body, &own);
            done = body.bytes.end;
        } else {
            woven.alone.extend(own.iter().map(|(number, ..)| number));
        }
    }
    woven.text.push_str(&text[done..]);
    // Within each other's bodies the copies would multiply.
    woven.text = woven.text.replace("#[inline(always)]", NEVER).replace("#[inline]", NEVER);
    woven.alone.extend(left.iter().map(|(number, ..)| number));
    Ok(woven)
}

impl Woven {
    fn function(&mut self, text: &str, body: &Body, own: &[(usize, Range<usize>, &Mutant)]) {
        let Body { bytes: body, result } = body;
        let Some((first, ..)) = own.first() else {
            return self.text.push_str(&text[body.clone()]);
        };
        // The first body is the one of the enum, the second that of the other of its other, and so on.
        // What they are iterators of is said for each, so that errors are where they belong.
        let (one, other) = match result {
            Result::Iterator(item) => {
                (format!("{ONE}crate::mutant_switch::of::<{item}, _>("), OTHER)
            }
            _ => (String::new(), ""),
        };
        let end = |depth: usize| if one.is_empty() { String::new() } else { ")".repeat(depth) };
        self.text.push_str(&format!("{{ match crate::mutant_switch::living({first}) {{\n"));
        for (depth, (number, at, mutant)) in own.iter().enumerate() {
            self.text.push_str(&format!("{number} => {}{one}", other.repeat(depth)));
            let from = self.line();
            self.text.push_str(&text[body.start..at.start]);
            self.text.push_str(&mutant.replacement);
            self.text.push_str(&text[at.end..body.end]);
            let lines = from..self.line() + 1;
            self.arms.push(Arm { number: *number, lines, function: *first });
            self.text.push_str(&format!("{},\n", end(depth + 2)));
        }
        self.text.push_str(&format!("_ => {}", other.repeat(own.len())));
        self.text.push_str(&text[body.clone()]);
        self.text.push_str(&format!("{}\n}} }}", end(own.len())));
    }

    fn line(&self) -> usize {
        1 + self.text.matches('\n').count()
    }
}

/// The outermost functions of a file, in their order.
struct Bodies<'a> {
    lines: &'a Lines<'a>,
    found: Vec<Body>,
}

impl Bodies<'_> {
    fn add(&mut self, signature: &Signature, block: &Block) {
        let bytes = self.bytes(block);
        let result = match &signature.output {
            _ if signature.constness.is_some() => Result::Fixed,
            ReturnType::Default => Result::Plain,
            ReturnType::Type(_, result) => self.kind(result),
        };
        self.found.push(Body { bytes, result });
    }

    fn kind(&self, result: &Type) -> Result {
        if let Type::ImplTrait(opaque) = result
            && let Some(item) = opaque.bounds.iter().find_map(item)
        {
            return Result::Iterator(self.lines.text[self.bytes(item)].to_owned());
        }
        let mut opaque = Opaque(false);
        opaque.visit_type(result);
        if opaque.0 { Result::Fixed } else { Result::Plain }
    }

    fn bytes(&self, of: &impl Spanned) -> Range<usize> {
        let place = |at: LineColumn| Place { line: at.line, column: at.column + 1 };
        let span = of.span();
        self.lines.byte(place(span.start()))..self.lines.byte(place(span.end()))
    }
}

impl<'ast> Visit<'ast> for Bodies<'_> {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.add(&function.sig, &function.block);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.add(&function.sig, &function.block);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(block) = &function.default {
            self.add(&function.sig, block);
        }
    }
}

/// What the bound `Iterator` says that they are of.
fn item(bound: &TypeParamBound) -> Option<&Type> {
    let TypeParamBound::Trait(bound) = bound else { return None };
    let name = bound.path.segments.last().filter(|name| name.ident == "Iterator")?;
    let PathArguments::AngleBracketed(arguments) = &name.arguments else { return None };
    arguments.args.iter().find_map(|argument| match argument {
        GenericArgument::AssocType(item) => Some(&item.ty),
        _ => None,
    })
}

/// Whether there is an `impl Trait` in a type.
struct Opaque(bool);

impl<'ast> Visit<'ast> for Opaque {
    fn visit_type_impl_trait(&mut self, found: &'ast syn::TypeImplTrait) {
        self.0 = true;
        visit::visit_type_impl_trait(self, found);
    }
}

/// The switch, for the end of a crate's first file: `living` says which mutant lives, by the
/// environment. With `MUTANTS_REACHED` it adds to that file the number of each function that asks.
pub(crate) const SWITCH: &str = r#"
#[allow(missing_docs, clippy::all)]
mod mutant_switch {
    use std::io::Write;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

    /// One of two iterators.
    pub(crate) enum Either<A, B> {
        One(A),
        Other(B),
    }

    impl<A: Iterator, B: Iterator<Item = A::Item>> Iterator for Either<A, B> {
        type Item = A::Item;

        fn next(&mut self) -> Option<A::Item> {
            match self {
                Self::One(one) => one.next(),
                Self::Other(other) => other.next(),
            }
        }
    }

    pub(crate) fn of<T, I: Iterator<Item = T>>(iterator: I) -> I {
        iterator
    }

    const NONE: u32 = u32::MAX - 1;
    const UNKNOWN: u32 = u32::MAX;
    static LIVING: AtomicU32 = AtomicU32::new(UNKNOWN);
    static LIST: OnceLock<Option<std::path::PathBuf>> = OnceLock::new();
    static REACHED: [AtomicBool; 16384] = [const { AtomicBool::new(false) }; 16384];

    #[inline]
    pub(crate) fn living(function: u32) -> u32 {
        match LIVING.load(Relaxed) {
            UNKNOWN => ask(function),
            known => known,
        }
    }

    #[cold]
    fn ask(function: u32) -> u32 {
        if let Some(path) = LIST.get_or_init(|| std::env::var_os("MUTANTS_REACHED").map(Into::into)) {
            if !REACHED[function as usize].swap(true, Relaxed) {
                let mut file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
                file.write_all(format!("{function}\n").as_bytes()).unwrap();
            }
            return NONE;
        }
        let living = std::env::var("MUTANTS_LIVING").ok();
        let living = living.and_then(|number| number.parse().ok()).unwrap_or(NONE);
        LIVING.store(living, Relaxed);
        living
    }
}
"#;

#[cfg(test)]
#[path = "weave_tests.rs"]
mod tests;
