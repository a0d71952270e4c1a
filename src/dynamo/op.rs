//! Op: DynamoDB's operations by name.
//!
//! In: a name. Out: an [`Op`]. Never: a request's body.

/// What can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    GetItem,
    PutItem,
    UpdateItem,
    DeleteItem,
    Query,
    Scan,
    BatchGetItem,
    BatchWriteItem,
    TransactGetItems,
    TransactWriteItems,
    ExecuteStatement,
    BatchExecuteStatement,
    ExecuteTransaction,
    CreateTable,
    DeleteTable,
    DescribeTable,
    UpdateTable,
    ListTables,
    UpdateTimeToLive,
    DescribeTimeToLive,
    TagResource,
    UntagResource,
    ListTagsOfResource,
    DescribeEndpoints,
    DescribeLimits,
    ListStreams,
    DescribeStream,
    GetShardIterator,
    GetRecords,
}

/// Names and whether they belong to DynamoDB Streams, which is a service of its own.
const TABLE: [(&str, Op, bool); 29] = [
    ("GetItem", Op::GetItem, false),
    ("PutItem", Op::PutItem, false),
    ("UpdateItem", Op::UpdateItem, false),
    ("DeleteItem", Op::DeleteItem, false),
    ("Query", Op::Query, false),
    ("Scan", Op::Scan, false),
    ("BatchGetItem", Op::BatchGetItem, false),
    ("BatchWriteItem", Op::BatchWriteItem, false),
    ("TransactGetItems", Op::TransactGetItems, false),
    ("TransactWriteItems", Op::TransactWriteItems, false),
    ("ExecuteStatement", Op::ExecuteStatement, false),
    ("BatchExecuteStatement", Op::BatchExecuteStatement, false),
    ("ExecuteTransaction", Op::ExecuteTransaction, false),
    ("CreateTable", Op::CreateTable, false),
    ("DeleteTable", Op::DeleteTable, false),
    ("DescribeTable", Op::DescribeTable, false),
    ("UpdateTable", Op::UpdateTable, false),
    ("ListTables", Op::ListTables, false),
    ("UpdateTimeToLive", Op::UpdateTimeToLive, false),
    ("DescribeTimeToLive", Op::DescribeTimeToLive, false),
    ("TagResource", Op::TagResource, false),
    ("UntagResource", Op::UntagResource, false),
    ("ListTagsOfResource", Op::ListTagsOfResource, false),
    ("DescribeEndpoints", Op::DescribeEndpoints, false),
    ("DescribeLimits", Op::DescribeLimits, false),
    ("ListStreams", Op::ListStreams, true),
    ("DescribeStream", Op::DescribeStream, true),
    ("GetShardIterator", Op::GetShardIterator, true),
    ("GetRecords", Op::GetRecords, true),
];

const TABLES_TARGET: &str = "DynamoDB_20120810.";
const STREAMS_TARGET: &str = "DynamoDBStreams_20120810.";

// === impl Op ===
impl Op {
    /// Every one.
    pub const ALL: [Op; TABLE.len()] = {
        let (mut all, mut at) = ([Op::GetItem; TABLE.len()], 0);
        while at < TABLE.len() {
            all[at] = TABLE[at].1;
            at += 1;
        }
        all
    };

    /// By the operation's name alone.
    pub fn named(name: &str) -> Option<Op> {
        TABLE.iter().find(|(known, ..)| *known == name).map(|(_, op, _)| *op)
    }

    /// By `X-Amz-Target`: "DynamoDB_20120810.GetItem". Each service has its own operations only.
    pub fn targeted(target: &str) -> Option<Op> {
        let (name, streams) = match target.strip_prefix(TABLES_TARGET) {
            Some(name) => (name, false),
            None => (target.strip_prefix(STREAMS_TARGET)?, true),
        };
        Op::named(name).filter(|op| op.of_streams() == streams)
    }

    pub fn name(self) -> &'static str {
        TABLE.iter().find(|(_, op, _)| *op == self).map_or("", |(name, ..)| name)
    }

    /// What `X-Amz-Target` says of it.
    pub fn target(self) -> String {
        format!("{}{}", if self.of_streams() { STREAMS_TARGET } else { TABLES_TARGET }, self.name())
    }

    pub fn of_streams(self) -> bool {
        TABLE.iter().any(|(_, op, streams)| *op == self && *streams)
    }

    /// It consumes capacity, and answers with `ConsumedCapacity` when asked to.
    pub fn metered(self) -> bool {
        matches!(
            self,
            Op::GetItem
                | Op::PutItem
                | Op::UpdateItem
                | Op::DeleteItem
                | Op::Query
                | Op::Scan
                | Op::BatchGetItem
                | Op::BatchWriteItem
                | Op::TransactGetItems
                | Op::TransactWriteItems
                | Op::ExecuteStatement
                | Op::BatchExecuteStatement
                | Op::ExecuteTransaction
        )
    }

    /// It changes nothing. Statements may do either.
    pub fn reads(self) -> bool {
        matches!(self, Op::GetItem | Op::Query | Op::Scan | Op::BatchGetItem | Op::TransactGetItems)
    }

    /// It changes what a table is, not what is in it.
    pub fn changes_table(self) -> bool {
        matches!(self, Op::CreateTable | Op::DeleteTable | Op::UpdateTable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        for (target, want) in [
            ("DynamoDB_20120810.GetItem", Some(Op::GetItem)),
            ("DynamoDBStreams_20120810.GetRecords", Some(Op::GetRecords)),
            ("DynamoDB_20120810.GetRecords", None),
            ("DynamoDBStreams_20120810.GetItem", None),
            ("DynamoDB_20111205.GetItem", None),
            ("GetItem", None),
            ("DynamoDB_20120810.getitem", None),
            ("", None),
        ] {
            assert_eq!(Op::targeted(target), want, "{target}");
        }
        for (name, op, _) in TABLE {
            assert_eq!((op.name(), Op::targeted(&op.target())), (name, Some(op)));
        }
    }
}
