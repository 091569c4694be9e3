//! Prints rows in aligned columns.

use std::fmt;

/// Between two columns.
const GAP: usize = 2;
/// A column of names is never cut shorter than this.
const NAME_WIDTH_MIN: usize = 12;

/// How a column is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Flush left, never cut: addresses, states.
    Text,
    /// Flush left, cut with `…` where the table is too wide otherwise.
    Name,
    /// Flush right.
    Number,
}

/// One column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    header: &'static str,
    kind: Kind,
}

impl Column {
    /// A column that is never cut.
    pub(super) const fn text(header: &'static str) -> Self {
        Self {
            header,
            kind: Kind::Text,
        }
    }

    /// A column that may be cut to make the table fit.
    pub(super) const fn name(header: &'static str) -> Self {
        Self {
            header,
            kind: Kind::Name,
        }
    }

    /// A column of numbers with their units.
    pub(super) const fn number(header: &'static str) -> Self {
        Self {
            header,
            kind: Kind::Number,
        }
    }
}

/// A table with `N` columns.
#[derive(Debug)]
pub(super) struct Table<const N: usize> {
    columns: [Column; N],
    rows: Vec<[String; N]>,
    width_max: Option<usize>,
}

impl<const N: usize> Table<N> {
    /// Makes an empty table, `width_max` characters wide if its names can be cut to that.
    pub(super) const fn new(columns: [Column; N], width_max: Option<usize>) -> Self {
        Self {
            columns,
            rows: vec![],
            width_max,
        }
    }

    /// Appends a row.
    pub(super) fn row(&mut self, cells: [String; N]) {
        self.rows.push(cells);
    }

    fn widths(&self) -> [usize; N] {
        let mut widths = self.columns.map(|column| column.header.chars().count());
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let Some(width_max) = self.width_max else {
            return widths;
        };
        loop {
            let total = widths.iter().sum::<usize>() + GAP * N.saturating_sub(1);
            let excess = total.saturating_sub(width_max);
            let widest = (0..N)
                .filter(|index| self.columns[*index].kind == Kind::Name)
                .max_by_key(|index| widths[*index]);
            match widest {
                Some(index) if excess > 0 && widths[index] > NAME_WIDTH_MIN => widths[index] -= 1,
                _ => return widths,
            }
        }
    }
}

impl<const N: usize> fmt::Display for Table<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        let headers = self.columns.map(|column| column.header.to_uppercase());
        for row in std::iter::once(&headers).chain(&self.rows) {
            let mut line = String::new();
            for ((cell, width), column) in row.iter().zip(widths).zip(self.columns) {
                let cell = cut(cell, width);
                let padding = " ".repeat(width - cell.chars().count());
                match column.kind {
                    Kind::Number => line.extend([padding.as_str(), &cell]),
                    Kind::Text | Kind::Name => line.extend([cell.as_str(), &padding]),
                }
                line.push_str("  ");
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Shortens a cell to `width` characters.
fn cut(cell: &str, width: usize) -> String {
    if cell.chars().count() <= width {
        return cell.to_owned();
    }
    cell.chars().take(width - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::{Column, Table};

    fn check(width_max: Option<usize>, rows: &[[&str; 3]], expected: &str) {
        let columns = [
            Column::name("service"),
            Column::text("address"),
            Column::number("in use"),
        ];
        let mut table = Table::new(columns, width_max);
        for row in rows {
            table.row(row.map(str::to_owned));
        }
        assert_eq!(format!("\n{table}"), expected);
    }

    #[test]
    fn columns_are_aligned_and_nothing_trails() {
        check(
            None,
            &[["shop/order", "127.96.0.1", "2"], ["a", "::1", "10000000"]],
            "
SERVICE     ADDRESS       IN USE
shop/order  127.96.0.1         2
a           ::1         10000000
",
        );
    }

    #[test]
    fn names_are_cut_to_the_width_and_addresses_never() {
        check(
            Some(32),
            &[["shop/a-service-of-great-length", "127.96.0.10", "2"]],
            "
SERVICE       ADDRESS      IN USE
shop/a-serv…  127.96.0.10       2
",
        );
    }

    #[test]
    fn an_empty_table_is_its_header() {
        check(Some(100), &[], "\nSERVICE  ADDRESS  IN USE\n");
    }
}
