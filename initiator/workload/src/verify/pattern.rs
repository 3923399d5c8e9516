//! `verify_pattern=`: bytes that repeat.
//!
//! A pattern is pieces one after another: `0xdeadbeef`, a decimal number (its bytes, least first),
//! `"text"`, and `%o`, which stands for the block's offset in eight bytes, least first. The bytes
//! are those that fio 3.33 writes for the same text.

/// Longest pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 512;

/// A parsed pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    bytes: Vec<u8>,
    /// Where in `bytes` an offset goes.
    offsets: Vec<usize>,
}

impl Pattern {
    /// Reads the option's value.
    pub fn parse(text: &str) -> Result<Pattern, String> {
        let mut pattern = Pattern { bytes: Vec::new(), offsets: Vec::new() };
        let mut rest = text;
        while !rest.is_empty() {
            rest = pattern.piece(rest)?;
            if pattern.bytes.len() > PATTERN_BYTES_MAX {
                return Err(format!("longer than {PATTERN_BYTES_MAX} bytes"));
            }
        }
        match pattern.bytes.is_empty() {
            true => Err("an empty pattern".into()),
            false => Ok(pattern),
        }
    }

    /// Takes the first piece of `text` and returns what is left.
    fn piece<'a>(&mut self, text: &'a str) -> Result<&'a str, String> {
        if let Some(rest) = text.strip_prefix("%o") {
            self.offsets.push(self.bytes.len());
            self.bytes.extend([0; 8]);
            return Ok(rest);
        }
        if let Some(rest) = text.strip_prefix('"') {
            let (string, rest) =
                rest.split_once('"').ok_or_else(|| format!("'{text}' has no closing '\"'"))?;
            self.bytes.extend(string.as_bytes());
            return Ok(rest);
        }
        if let Some(rest) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            return self.hex(rest);
        }
        self.decimal(text)
    }

    fn hex<'a>(&mut self, text: &'a str) -> Result<&'a str, String> {
        let (digits, rest) = text.split_at(leading(text, |b| b.is_ascii_hexdigit()));
        if digits.is_empty() {
            return Err("0x without digits".into());
        }
        let odd = digits.len() % 2;
        let nibbles: Vec<u8> = std::iter::repeat_n(b'0', odd)
            .chain(digits.bytes())
            .map(|b| (b as char).to_digit(16).unwrap_or(0) as u8)
            .collect();
        self.bytes.extend(nibbles.chunks(2).map(|pair| pair[0] << 4 | pair[1]));
        Ok(rest)
    }

    fn decimal<'a>(&mut self, text: &'a str) -> Result<&'a str, String> {
        let body = text.strip_prefix('-').unwrap_or(text);
        let sign = text.len() - body.len();
        let (number, rest) = text.split_at(sign + leading(body, |b| b.is_ascii_digit()));
        let value: i32 = number
            .parse()
            .map_err(|_| format!("'{text}' is not 0xHEX, \"TEXT\", %o or a number of 32 bits"))?;
        let bytes = value.to_le_bytes();
        // As few bytes as hold the value: 12 is 0c, 300 is 2c 01, -1 is ff.
        let filler = if value < 0 { 0xff } else { 0 };
        let used = bytes.iter().rposition(|&b| b != filler).map_or(1, |last| last + 1);
        self.bytes.extend(&bytes[..used]);
        Ok(rest)
    }

    /// Fills a block that will be at `offset`.
    pub(crate) fn fill(&self, block: &mut [u8], offset: u64) {
        let period = self.bytes.len();
        let mut done = period.min(block.len());
        block[..done].copy_from_slice(&self.bytes[..done]);
        self.put_offsets(&mut block[..done], offset);
        while done < block.len() {
            let more = done.min(block.len() - done);
            block.copy_within(..more, done);
            done += more;
        }
    }

    fn put_offsets(&self, period: &mut [u8], offset: u64) {
        for &at in &self.offsets {
            let end = (at + 8).min(period.len());
            if let Some(place) = period.get_mut(at..end) {
                place.copy_from_slice(&offset.to_le_bytes()[..end - at]);
            }
        }
    }

    /// Checks `data`, which begins `skipped` bytes into a block that is at `offset`.
    pub(super) fn check(&self, data: &[u8], offset: u64, skipped: usize) -> Result<(), String> {
        let mut period = [0; PATTERN_BYTES_MAX + 8];
        let period = &mut period[..self.bytes.len()];
        period.copy_from_slice(&self.bytes);
        self.put_offsets(period, offset);
        let expected = period.iter().cycle().skip(skipped % period.len());
        let Some((at, (found, wanted))) =
            data.iter().zip(expected).enumerate().find(|(_, (found, wanted))| found != wanted)
        else {
            return Ok(());
        };
        Err(format!(
            "pattern differs at byte {} of the block: expected {wanted:#04x}, found {found:#04x}",
            skipped + at
        ))
    }
}

fn leading(text: &str, wanted: impl Fn(u8) -> bool) -> usize {
    text.bytes().take_while(|&b| wanted(b)).count()
}
