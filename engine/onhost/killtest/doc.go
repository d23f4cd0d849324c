// Package killtest holds the runner and every kind to one promise: wherever a
// run is stopped, the next one ends right, and so does an undo.
//
// What steptest's fifth law asks of a step alone, this package asks of whole
// sessions with a journal on a disk. It walks a [Scene], a fake machine and the
// units of a play:
//
//	killed    A session is filmed: at every effect on the machine and at every
//	          write of the journal (before it, torn in the middle, after it) a
//	          copy is made of the machine and of the runner's directories.
//	          That is what kill -9 leaves there. From each copy, as it is and
//	          after a power cut, the run is resumed, another run is begun, and
//	          the run is taken back. So are the undos themselves, also those
//	          of two runs together.
//	failing   The same places refuse instead: an effect with EIO, with EROFS
//	          from there on, or with EIO although it happened; the journal's
//	          disk is full, full for good, broken or read-only. The run is
//	          taken back, at once or once the disk is sound again.
//
// After a resumed or a new run a check must find nothing more to do; an undo must bring the machine back byte for byte; and nothing
// may be left: no open run, no lease, no half reserve, no temporary file.
//
// Each way on from each place is one injection. Their number and that of those
// survived is logged; where they differ the test fails. By default a sample is
// walked, under -short a smaller one; WEFT_CHAOS_WHOLE=1 walks all.
package killtest
