package wire

import (
	"errors"
	"fmt"
	"io"
)

// A file of one host comes to another through the controller, while a step that
// wants it is applied:
//
//	receiving runner        controller        another runner
//	 Want (to 4 MiB) ─────▶
//	                         Read, Read, … ──▶
//	                  ◀───── Part ◀─────────── Part, Done, …
//	 Want (to 6 MiB) ─────▶
//
// Which file of which host it is the controller takes from the unit as it
// evaluated it, never from what the receiver says. No more is on its way than
// the receiver said it has room for.

// PartSize is how many bytes of a file one Part carries at most. More ends the
// session.
const PartSize = 256 << 10

// Window is how many bytes of a file may be on their way to a receiver.
const Window = 4 << 20

// Want asks for the file that a unit under way copies from another host, and
// says how far there is room for it. It may come at any time of an Apply.
type Want struct {
	Address string `json:"address"` // of the unit
	// Number tells what belongs to this one from what is left of others: it
	// is another for every file that is wanted in a session.
	Number int `json:"number"`
	// Upto is how many bytes of the file may be sent, counted from its
	// beginning.
	Upto int64 `json:"upto,omitempty"`
	// Enough says that no more of it is wanted.
	Enough bool `json:"enough,omitempty"`
}

// Read asks for a part of a file: a regular one, or where a symlink leads to
// one. It is answered with one Part.
type Read struct {
	Path   string `json:"path"`
	At     int64  `json:"at,omitempty"`
	Length int    `json:"length"` // no more than PartSize; the Part has less at the file's end
}

// Part is a part of a file. Its bytes are no JSON: they come behind it.
type Part struct {
	Number int   `json:"number,omitempty"` // of the Want
	At     int64 `json:"at,omitempty"`
	Size   int64 `json:"size,omitempty"` // of the whole file
	// Version differs between two answers where the file was changed in
	// between. It means nothing to a receiver.
	Version string `json:"version,omitempty"`
	// Error says to a receiver why nothing more comes.
	Error string `json:"error,omitempty"`
	// Length is that of Bytes. A Writer fills it in.
	Length int    `json:"length,omitempty"`
	Bytes  []byte `json:"-"`
}

// part is the one that a message carries; nil for none.
func part[M Message](m *M) *Part {
	switch m := any(m).(type) {
	case *Request:
		return m.Part
	case *Event:
		return m.Part
	}
	return nil
}

// readBytes reads what comes behind the frame of a part.
func (p *Part) readBytes(r io.Reader) error {
	if p.Length < 0 || p.Length > PartSize {
		return fmt.Errorf("a part of %d bytes is announced, more than %d are not accepted", p.Length, PartSize)
	}
	if p.Length == 0 {
		return nil
	}
	p.Bytes = make([]byte, p.Length)
	_, err := io.ReadFull(r, p.Bytes)
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
