"""The store on PostgreSQL: one database, two schemas, rows partitioned by the day of their arrival."""
