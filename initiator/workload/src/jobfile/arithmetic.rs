//! Sums in parentheses: `size=(4k*1024)`, `runtime=(2*60)`.
//!
//! Numbers carry the suffixes of the option that they are for. Nesting is bounded, so that no input
//! runs the parser out of stack.

/// Deepest nesting.
const DEPTH_MAX: u32 = 32;

/// The value of `text`, an expression in parentheses; `number` reads what is between operators.
pub(super) fn evaluate(
    text: &str,
    number: &dyn Fn(&str) -> Result<u64, String>,
) -> Result<u64, String> {
    let mut sum = Sum { text, rest: text, depth: 0, number };
    let value = sum.terms()?;
    if !sum.rest.is_empty() {
        return Err(format!("'{text}': cannot read '{}'", sum.rest));
    }
    match value {
        value if !(0.0..9.2e18).contains(&value) => {
            Err(format!("'{text}' is {value}, out of range"))
        }
        value => Ok(value as u64),
    }
}

struct Sum<'a> {
    text: &'a str,
    rest: &'a str,
    depth: u32,
    number: &'a dyn Fn(&str) -> Result<u64, String>,
}

impl Sum<'_> {
    fn peek(&mut self) -> Option<char> {
        self.rest = self.rest.trim_start();
        self.rest.chars().next()
    }

    fn take(&mut self, wanted: &[char]) -> Option<char> {
        let next = self.peek().filter(|c| wanted.contains(c))?;
        self.rest = &self.rest[next.len_utf8()..];
        Some(next)
    }

    fn terms(&mut self) -> Result<f64, String> {
        let mut value = self.factors()?;
        while let Some(operator) = self.take(&['+', '-']) {
            let other = self.factors()?;
            value = if operator == '+' { value + other } else { value - other };
        }
        Ok(value)
    }

    fn factors(&mut self) -> Result<f64, String> {
        let mut value = self.power()?;
        while let Some(operator) = self.take(&['*', '/', '%']) {
            let other = self.power()?;
            if operator != '*' && other == 0.0 {
                return Err(format!("'{}': division by zero", self.text));
            }
            value = match operator {
                '*' => value * other,
                '/' => value / other,
                _ => value % other,
            };
        }
        Ok(value)
    }

    fn power(&mut self) -> Result<f64, String> {
        let value = self.operand()?;
        match self.take(&['^']) {
            Some(_) => Ok(value.powf(self.operand()?)),
            None => Ok(value),
        }
    }

    fn operand(&mut self) -> Result<f64, String> {
        if self.take(&['(']).is_some() {
            self.depth += 1;
            if self.depth > DEPTH_MAX {
                return Err(format!("more than {DEPTH_MAX} parentheses inside each other"));
            }
            let value = self.terms()?;
            self.depth -= 1;
            return match self.take(&[')']) {
                Some(_) => Ok(value),
                None => Err(format!("'{}': a ')' is missing", self.text)),
            };
        }
        if self.take(&['-']).is_some() {
            self.depth += 1;
            if self.depth > DEPTH_MAX {
                return Err(format!("more than {DEPTH_MAX} signs before each other"));
            }
            let value = -self.operand()?;
            self.depth -= 1;
            return Ok(value);
        }
        self.peek();
        let len = self.rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(len);
        if word.is_empty() {
            return Err(format!("'{}': a number is missing", self.text));
        }
        self.rest = rest;
        Ok((self.number)(word)? as f64)
    }
}
