package build

// sharedDoc is what is true of all kinds of builds.
const sharedDoc = `A tarball on the host is built and installed into a tree of its own, PREFIX-VERSION-KEY, and PREFIX is a symlink to it. No file of a package is touched: what a build installs outside of
its tree is refused, and so is whatever stands in the way of a link. An upgrade swaps the one link; what runs from the old tree goes on with it, and an undo swaps back, so the old tree stays, until a step
with state = "absent" takes all trees of that name away.

KEY is a digest of all that decides the result: the source's SHA-256, options, variables, prefix, the distribution's release, the machine type, the compiler's version, and the versions of packages. A tree
that is installed is built anew where what the playbook says of it differs; a newer compiler alone builds nothing anew.

The result is an archive, /var/cache/weft/builds/NAME-KEY.tar with its SHA-256 beside it. Files of the tree that drifted are repaired from it. By its outputs archive and sha256, file_copy brings it to
another host, whose step takes it by its attribute archive; where that host's inputs are others, the plan says which, and it is built there. A host that lacks compiler or packages takes it for its own
distribution and machine type.

A build that is cut goes on in the next run with what was configured and compiled. What compilers print is shown where they fail, and lies whole in /var/log/weft-build-NAME.log, which stays.

Undo brings back what was found, and removes the result from the cache with the tree. Removed trees come back from their archives; the plan says where one cannot, since it drifted and its archive is
gone. A tree into which other hands put files or that an Open vSwitch is linked to, and a unit that runs or is enabled, are left as conflicts by an undo, and refused by state = "absent". With such a unit
an undo leaves all that it starts from; once it is stopped and disabled, a second undo takes that away.`
