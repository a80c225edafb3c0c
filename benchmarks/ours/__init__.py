"""Workers that measure rewardtogo, in the line protocol of `benchmarks.peers.protocol`."""
