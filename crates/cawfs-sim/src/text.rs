//! Failing lists as text that can be pasted into a test: Rust byte strings and calls.
use crate::kv_model::{KvOp, Span};
use crate::ops::{Step, fill};

/// Bytes as a Rust expression: a byte string, or `fill(tag, len)` if they are long and of that form.
pub fn bytes_text(bytes: &[u8]) -> String {
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    match bytes.first() {
        Some(tag) if len > 12 && bytes == fill(*tag, len) => format!("fill({tag}, {len})"),
        _ => format!("b\"{}\"", bytes.escape_ascii()),
    }
}

fn span_text(span: &Span) -> String {
    let hi = span
        .hi
        .as_ref()
        .map_or_else(|| "end".to_string(), |hi| bytes_text(hi));
    format!("{}..{hi}", bytes_text(&span.lo))
}

/// One change as a call.
pub fn op_text(op: &KvOp) -> String {
    match op {
        KvOp::Put(key, value) => format!("put({}, {})", bytes_text(key), bytes_text(value)),
        KvOp::Delete(key) => format!("delete({})", bytes_text(key)),
        KvOp::Patch(key, offset, bytes) => {
            format!(
                "patch({}, {offset}, {})",
                bytes_text(key),
                bytes_text(bytes)
            )
        }
        KvOp::DeleteRange(span) => format!("delete_range({})", span_text(span)),
        KvOp::CloneRange { source, from, to } => {
            format!(
                "clone_range({}, {} -> {})",
                span_text(source),
                bytes_text(from),
                bytes_text(to)
            )
        }
    }
}

/// One step as text; `batch` is what a commit resolved to.
pub fn step_text(step: &Step, batch: &[KvOp]) -> String {
    match step {
        Step::Commit(_) => {
            let ops: Vec<_> = batch.iter().map(op_text).collect();
            format!("commit [{}]", ops.join(", "))
        }
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_like_rust() {
        assert_eq!(bytes_text(b"a\x00\xff"), r#"b"a\x00\xff""#);
        assert_eq!(bytes_text(&fill(250, 20)), "fill(250, 20)");
        let (from, to) = (b"a".to_vec(), b"b".to_vec());
        let op = KvOp::CloneRange {
            source: Span::prefix(b"a"),
            from,
            to,
        };
        assert_eq!(op_text(&op), r#"clone_range(b"a"..b"b", b"a" -> b"b")"#);
        assert_eq!(
            op_text(&KvOp::DeleteRange(Span::all())),
            r#"delete_range(b""..end)"#
        );
    }
}
