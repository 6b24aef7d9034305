"""Commands on their way: kept, sent until answered, shown."""
