"""Moving a store from SQLite to PostgreSQL while it is written.

What must hold, whatever is killed and whenever: every row and every cursor of the source is in the target exactly once,
with the ids it had; nobody writes the source after the last row was read; nobody uses the target before it is whole.

1. **Began.** The source gets a table `move` with a random id; the target stands at `layout.FILLING`, which every program
   refuses, and keeps how far each table was copied, in the transaction of the rows.
2. **History.** Rows are copied upward by their key while the recorder goes on. One process writes the file, so ids
   become visible in their order, and nothing is skipped.
3. **Closed.** Both files of the source stand at `layout.CLOSED`: each commit looks, so from then on none succeeds, and
   nodes keep what they have. The rest is copied; both sides are compared block by block, and what differs is put
   right (retention took rows that had been copied; a batch was filled in below where the copy stood).
4. **Whole.** One transaction brings the cursors and all that is small, sets the sequences, and gives the target its version.
5. **Moved.** The source stands at `layout.MOVED` and names the target.

A failure in 3 opens the source again. A process that is killed there leaves it closed: the next run goes on, or takes
it back. Where the answer to the commit of 4 is lost, the source stays closed until somebody asks the target.
"""
