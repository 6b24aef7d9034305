"""A lab: a dozen hosts in three zones on one machine, as namespaces with a real sshd each, to look at and to break.

``plan``, ``homes``, ``ssh``, ``lines`` and ``places`` say what is to be there and touch nothing; ``build``, ``faults`` and ``end``
do it. What can fail, and what is done about it:

* ``tabard lab up`` is killed at any moment: the first process of the lab notices, ends, and the kernel takes with it every
  process, mount and interface, since none of them lives outside of that process's namespaces.
* The first process is killed: likewise.
* Files remain after either: ``tabard lab down`` removes them, and so does the next ``tabard lab up``.
* Two are started in one place: the second one is refused by a lock, or by the processes that carry the mark of the first.
* A host is killed: its disk stays, since it is mounted in the namespace of the first process, and ``heal`` starts it again.
* Process ids are taken again by the kernel: a process is killed only while it carries the mark of this lab.
"""
