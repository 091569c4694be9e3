//! Which fields HTTP/2 does not allow (RFC 9113, 8.2 and 8.3), by their bytes.

/// Whether a field makes a request or a response malformed; `None`: a parser of addresses has to say.
pub(crate) fn is_malformed(name: &[u8], value: &[u8]) -> Option<bool> {
    let is_plain = value
        .iter()
        .all(|byte| is_alphanumeric(*byte) || b"/._-".contains(byte));
    match name {
        b":method" => Some(value.is_empty() || !value.iter().all(|byte| is_of_token(*byte))),
        b":status" => Some(!matches!(value, [b'1'..=b'9', b'0'..=b'9', b'0'..=b'9'])),
        b":scheme" if value.is_empty() => Some(true),
        b":scheme" if value.iter().all(u8::is_ascii_alphabetic) => Some(value.len() > 64),
        b":authority" if value.is_empty() => Some(true),
        b":authority" if value.iter().all(|byte| is_alphanumeric(*byte)) => Some(false),
        b":path" if value == b"*" => Some(false),
        b":path" if !value.starts_with(b"/") || has_control(value, 0x20) => Some(true),
        b":path" if value.contains(&b'#') => Some(true),
        b":path" if is_plain => Some(false),
        b":scheme" | b":authority" if has_control(value, 0x20) => Some(true),
        b":scheme" | b":authority" | b":path" => None,
        b"connection" | b"keep-alive" | b"proxy-connection" | b"transfer-encoding" | b"upgrade" => {
            Some(true)
        }
        b"te" => Some(value != b"trailers"),
        b"" => Some(true),
        _ => Some(!name.iter().all(|byte| is_of_name(*byte)) || has_control(value, 0x1f)),
    }
}

/// Whether there is a byte up to `last`, but for a tab in a text with blanks, or a DEL.
fn has_control(text: &[u8], last: u8) -> bool {
    let is_control =
        |byte: &u8| (*byte <= last && (*byte != b'\t' || last >= b' ')) || *byte == 0x7f;
    text.iter().any(is_control)
}

const fn is_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

/// RFC 9110, 5.6.2.
fn is_of_token(byte: u8) -> bool {
    is_alphanumeric(byte) || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_of_name(byte: u8) -> bool {
    is_of_token(byte) && !byte.is_ascii_uppercase()
}
