//! Tables for people, and how numbers look in them.

use std::fmt;

/// Rows under headings, each column as wide as its widest cell.
#[derive(Debug, Clone, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    pub fn new(headings: &[&str]) -> Self {
        Self { rows: vec![headings.iter().map(|&heading| heading.to_owned()).collect()] }
    }

    /// A table without headings: names and values.
    pub fn bare() -> Self {
        Self::default()
    }

    /// Adds a row of as many cells as there are.
    pub fn cells(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// Adds a row.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for (index, row) in self.rows.iter().enumerate() {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                // A control character of a node's answer must not reach the terminal.
                let cell = cell.replace(char::is_control, " ");
                line.push_str(&format!("{cell:<width$}  "));
            }
            let end = if index + 1 < self.rows.len() { "\n" } else { "" };
            write!(f, "{}{end}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Microseconds in the unit that reads best.
pub fn micros(us: u64) -> String {
    match us {
        0..1_000 => format!("{us}µs"),
        1_000..1_000_000 => format!("{:.1}ms", us as f64 / 1e3),
        1_000_000..120_000_000 => format!("{:.1}s", us as f64 / 1e6),
        _ => format!("{}m{:02}s", us / 60_000_000, us / 1_000_000 % 60),
    }
}

/// Bytes in the unit that reads best.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes}B"),
        1024..1_048_576 => format!("{:.1}KiB", bytes as f64 / 1024.0),
        1_048_576..1_073_741_824 => format!("{:.1}MiB", bytes as f64 / 1_048_576.0),
        _ => format!("{:.1}GiB", bytes as f64 / 1_073_741_824.0),
    }
}

/// What is there, or a dash.
pub fn or_dash(cell: Option<impl fmt::Display>) -> String {
    cell.map_or_else(|| "-".to_owned(), |cell| cell.to_string())
}

/// `yes` or `no`.
pub fn yes_no(value: bool) -> String {
    if value { "yes" } else { "no" }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_have_no_tail() {
        let mut table = Table::new(&["NODE", "STATE"]);
        table.row(["n1".into(), "up".into()]);
        table.row(["n1000".into(), "ä\x1b[0m".into()]);
        assert_eq!(table.to_string(), "NODE   STATE\nn1     up\nn1000  ä [0m");
        assert_eq!(Table::bare().to_string(), "");
    }

    #[test]
    fn numbers_read_well() {
        let times: Vec<_> = [0, 999, 1_500, 2_000_000, 125_000_000].map(micros).into();
        assert_eq!(times, ["0µs", "999µs", "1.5ms", "2.0s", "2m05s"]);
        let sizes: Vec<_> = [5, 1536, 3 << 20, 5 << 30].map(size).into();
        assert_eq!(sizes, ["5B", "1.5KiB", "3.0MiB", "5.0GiB"]);
        assert_eq!(
            (or_dash(None::<u8>), or_dash(Some(1)), yes_no(true)),
            ("-".into(), "1".into(), "yes".into())
        );
    }
}
