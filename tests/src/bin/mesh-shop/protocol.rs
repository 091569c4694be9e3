//! The shop's protocol, generated from `proto/shop.proto`.

#![expect(
    unreachable_pub,
    unused_qualifications,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]

tonic::include_proto!("shop");
