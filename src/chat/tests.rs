//! Tests of the shard: a few shards, their lanes and their clients in one thread.
