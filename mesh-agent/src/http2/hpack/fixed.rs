//! The table that every connection has (RFC 7541, appendix A).

use std::sync::LazyLock;

use super::field::{Entry, Name};
use super::hash::{Hash, Hashes};

/// Its fields; the first has index 1, and those of one name stand together.
#[rustfmt::skip]
const TEXTS: [(&[u8], &[u8]); 61] = [
    (b":authority", b""),
    (b":method", b"GET"),
    (b":method", b"POST"),
    (b":path", b"/"),
    (b":path", b"/index.html"),
    (b":scheme", b"http"),
    (b":scheme", b"https"),
    (b":status", b"200"),
    (b":status", b"204"),
    (b":status", b"206"),
    (b":status", b"304"),
    (b":status", b"400"),
    (b":status", b"404"),
    (b":status", b"500"),
    (b"accept-charset", b""),
    (b"accept-encoding", b"gzip, deflate"),
    (b"accept-language", b""),
    (b"accept-ranges", b""),
    (b"accept", b""),
    (b"access-control-allow-origin", b""),
    (b"age", b""),
    (b"allow", b""),
    (b"authorization", b""),
    (b"cache-control", b""),
    (b"content-disposition", b""),
    (b"content-encoding", b""),
    (b"content-language", b""),
    (b"content-length", b""),
    (b"content-location", b""),
    (b"content-range", b""),
    (b"content-type", b""),
    (b"cookie", b""),
    (b"date", b""),
    (b"etag", b""),
    (b"expect", b""),
    (b"expires", b""),
    (b"from", b""),
    (b"host", b""),
    (b"if-match", b""),
    (b"if-modified-since", b""),
    (b"if-none-match", b""),
    (b"if-range", b""),
    (b"if-unmodified-since", b""),
    (b"last-modified", b""),
    (b"link", b""),
    (b"location", b""),
    (b"max-forwards", b""),
    (b"proxy-authenticate", b""),
    (b"proxy-authorization", b""),
    (b"range", b""),
    (b"referer", b""),
    (b"refresh", b""),
    (b"retry-after", b""),
    (b"server", b""),
    (b"set-cookie", b""),
    (b"strict-transport-security", b""),
    (b"transfer-encoding", b""),
    (b"user-agent", b""),
    (b"vary", b""),
    (b"via", b""),
    (b"www-authenticate", b""),
];

/// How many fields it has: the index of the last.
pub(super) const COUNT: usize = TEXTS.len();

static ENTRIES: LazyLock<Vec<Entry>> = LazyLock::new(|| {
    let entry =
        |(name, value): &(&[u8], &'static [u8])| Entry::new(Name::parse(name), (*value).into());
    TEXTS.iter().map(entry).collect()
});

/// Bits of a place in `PLACES`: twice as many places as texts to look for, and more.
const PLACE_BITS: u32 = 8;

/// Indexes by the hash of a field or a name; a full place passes on to the next, zero ends the search.
static PLACES: LazyLock<[u8; 1 << PLACE_BITS]> = LazyLock::new(places);

/// The field at `index`, which begins at 1.
pub(super) fn get(index: usize) -> Option<&'static Entry> {
    ENTRIES.get(index.checked_sub(1)?)
}

/// The index of a whole field.
pub(super) fn find_field(hashes: Hashes, name: &[u8], value: &[u8]) -> Option<usize> {
    find(hashes.field, |text| text == (name, value))
}

/// The first index of a field of this name.
pub(super) fn find_name(hashes: Hashes, name: &[u8]) -> Option<usize> {
    find(hashes.name, |text| text.0 == name)
}

fn find(hash: Hash, is_it: impl Fn((&[u8], &[u8])) -> bool) -> Option<usize> {
    let first = hash.place(PLACE_BITS);
    let (before, from) = PLACES.split_at(first);
    from.iter()
        .chain(before)
        .map(|index| usize::from(*index))
        .take_while(|index| *index != 0)
        .find(|index| is_it(TEXTS[index - 1]))
}

fn places() -> [u8; 1 << PLACE_BITS] {
    let mut places = [0; 1 << PLACE_BITS];
    let mut put = |hash: Hash, index: u8| {
        let mut place = hash.place(PLACE_BITS);
        while places[place] != 0 {
            place = (place + 1) % places.len();
        }
        places[place] = index;
    };
    let mut last: &[u8] = b"";
    for (index, (name, value)) in (1..).zip(TEXTS) {
        if name != last {
            put(Hash::of(name), index);
            last = name;
        }
        put(Hashes::of(name, value).field, index);
    }
    places
}

#[cfg(test)]
mod tests {
    use super::{COUNT, TEXTS, find_field, find_name, get};
    use crate::http2::hpack::hash::Hashes;

    #[test]
    fn every_field_is_found_by_its_texts() {
        for (index, (name, value)) in (1..).zip(TEXTS) {
            let hashes = Hashes::of(name, value);
            assert_eq!(find_field(hashes, name, value), Some(index));
            let first = TEXTS.iter().position(|text| text.0 == name).unwrap() + 1;
            assert_eq!(find_name(hashes, name), Some(first));
            assert_eq!(get(index).unwrap().bytes, name.len() + value.len() + 32);
        }
        assert!(get(0).is_none() && get(COUNT + 1).is_none());
    }

    #[test]
    fn no_other_field_is_found() {
        for (name, value) in [(&b"x"[..], &b""[..]), (b":path", b"/a"), (b"", b"")] {
            assert_eq!(find_field(Hashes::of(name, value), name, value), None);
        }
        assert_eq!(find_name(Hashes::of(b"x", b""), b"x"), None);
    }
}
