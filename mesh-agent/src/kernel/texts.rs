//! Header values as clients send them: raw, or in the Huffman code of HPACK (RFC 7541 section 5.2).

use httlib_huffman::DecoderSpeed;
use mesh_common::meter::record::Method;
use mesh_common::meter::{HUFFMAN_BIT, PATH_BYTES_MAX};
use zerocopy::IntoBytes;

/// A whole value of a record, of which `length` says how long it is and how encoded; `None`: it was cut, or is in no code.
pub(super) fn read(words: &[u64], length: u32) -> Option<Vec<u8>> {
    let bytes = words
        .as_bytes()
        .get(..usize::try_from(length & !HUFFMAN_BIT).ok()?)?;
    if length & HUFFMAN_BIT == 0 {
        return Some(bytes.to_vec());
    }
    let (text, is_whole) = decode(bytes);
    is_whole.then_some(text)
}

/// `package.Service/Method`, cut if the path is longer than the kernel keeps; `None`: nothing that a gRPC client sends.
pub(super) fn method_name(method: &Method) -> Option<String> {
    let length = method.length & !HUFFMAN_BIT;
    let kept = method
        .text
        .as_bytes()
        .get(..length.min(PATH_BYTES_MAX) as usize)?;
    let text = if method.length & HUFFMAN_BIT == 0 {
        kept.to_vec()
    } else {
        let (text, is_whole) = decode(kept);
        // A cut text ends within a code.
        if !is_whole && length <= PATH_BYTES_MAX {
            return None;
        }
        text
    };
    let (service, name) = std::str::from_utf8(text.strip_prefix(b"/")?)
        .ok()?
        .rsplit_once('/')?;
    let is_method =
        text.iter().all(u8::is_ascii_graphic) && !service.is_empty() && !name.is_empty();
    is_method.then(|| format!("{service}/{name}"))
}

/// Decodes as far as it goes; says whether that is to the end.
fn decode(bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut text = Vec::with_capacity(bytes.len() * 8 / 5);
    let decoded = httlib_huffman::decode(bytes, &mut text, DecoderSpeed::FourBits);
    (text, decoded.is_ok())
}

/// What the kernel would keep of a path, in one of the two encodings.
#[cfg(test)]
pub(super) fn encoded(path: &[u8], is_huffman: bool) -> Method {
    use zerocopy::FromZeros as _;

    let mut bytes = path.to_vec();
    let mut mark = 0;
    if is_huffman {
        bytes.clear();
        httlib_huffman::encode(path, &mut bytes).unwrap();
        mark = HUFFMAN_BIT;
    }
    let mut method = Method::new_zeroed();
    let kept = bytes.len().min(PATH_BYTES_MAX as usize);
    method.text.as_mut_bytes()[..kept].copy_from_slice(&bytes[..kept]);
    method.length = u32::try_from(bytes.len()).unwrap() | mark;
    method
}

#[cfg(test)]
mod tests {
    use super::{encoded, method_name, read};
    use mesh_common::meter::HUFFMAN_BIT;
    use mesh_common::meter::record::Method;
    use proptest::prelude::*;
    use zerocopy::FromZeros as _;

    fn record(bytes: &[u8], mark: u32) -> Method {
        Method {
            length: u32::try_from(bytes.len()).unwrap() | mark,
            ..encoded(bytes, false)
        }
    }

    #[test]
    fn the_examples_of_the_rfc_are_read() {
        // RFC 7541 appendix C.4.1 and C.6.1.
        for (bytes, text) in [
            (
                &b"\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff"[..],
                "www.example.com",
            ),
            (&b"\x64\x02"[..], "302"),
            (&b"\xae\xc3\x77\x1a\x4b"[..], "private"),
        ] {
            let Method {
                text: words,
                length,
                ..
            } = record(bytes, HUFFMAN_BIT);
            assert_eq!(read(&words, length).unwrap(), text.as_bytes());
        }
    }

    #[test]
    fn a_value_that_was_cut_is_not_read() {
        let Method { text, length, .. } = encoded(&[b'0'; 400], false);
        assert_eq!(read(&text, length), None);
        let Method { text, length, .. } = encoded(&[b'0'; 400], true);
        assert_eq!(read(&text, length), None);
        let code = b"\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4";
        let Method { text, length, .. } = record(code, HUFFMAN_BIT);
        assert_eq!(read(&text, length), None, "within a code");
    }

    #[test]
    fn a_method_is_named_in_both_encodings() {
        let path = b"/shop.Inventory/Reserve";
        for is_huffman in [false, true] {
            let name = method_name(&encoded(path, is_huffman));
            assert_eq!(name.as_deref(), Some("shop.Inventory/Reserve"));
        }
    }

    #[test]
    fn what_no_grpc_client_sends_has_no_name() {
        for path in [
            &b""[..],
            b"/",
            b"/index.html",
            b"shop.Inventory/Reserve",
            b"/shop.Inventory/",
            b"//Reserve",
            b"/shop.Inventory/Res\x1b[2J",
            b"/shop.Inventory/Res erve",
            b"/shop.Inventory/R\xc3\xa9serve",
        ] {
            assert_eq!(method_name(&encoded(path, false)), None);
        }
        assert_eq!(method_name(&Method::new_zeroed()), None, "not known yet");
    }

    #[test]
    fn a_long_path_is_shown_as_far_as_it_was_kept() {
        let long = [&b"/shop.Inventory/"[..], &[b'x'; 400]].concat();
        let raw = method_name(&encoded(&long, false)).unwrap();
        let decoded = method_name(&encoded(&long, true)).unwrap();

        assert_eq!(raw.len(), 159);
        assert!(decoded.len() > 159 && decoded.starts_with(&raw));
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_read(text in prop::collection::vec(0x20_u8..0x7f, 0..120)) {
            for is_huffman in [false, true] {
                let Method { text: words, length, .. } = encoded(&text, is_huffman);
                if length & !HUFFMAN_BIT <= 160 {
                    prop_assert_eq!(read(&words, length), Some(text.clone()));
                }
            }
        }

        #[test]
        fn any_bytes_are_a_name_or_none(bytes in prop::collection::vec(any::<u8>(), 0..200), mark in prop::sample::select(vec![0, HUFFMAN_BIT])) {
            let method = record(&bytes, mark);
            let name = method_name(&method);
            prop_assert!(name.is_none_or(|name| name.is_ascii() && name.contains('/')));
            prop_assert!(bytes.len() <= 160 || read(method.text.as_slice(), method.length).is_none());
        }
    }
}
