package journal

import (
	"errors"
	"os"
)

// A long journal is written into zeros that are there already: then a sync writes what
// was written and nothing else, where a file that grows has its size written too, which
// takes three times as long. Short ones, which most are, stay as small as they are.
const (
	padFrom = 64 << 10
	padBy   = 256 << 10
)

// padded is a file that is appended to. What it has beyond its end is zeros, which a fold
// takes for nothing; [padded.Close] cuts them off. Truncate comes before the first Write,
// and says where the end is.
type padded struct {
	*os.File
	end  int64
	room int64 // what the file has
}

// Write appends. On a full disk there are no zeros, and maybe room for b.
func (p *padded) Write(b []byte) (int, error) {
	if need := p.end + int64(len(b)); p.end >= padFrom && need > p.room {
		zeros := make([]byte, int64(len(b))+padBy)
		if _, err := p.WriteAt(zeros, p.end); err == nil {
			p.room = p.end + int64(len(zeros))
		} else if err := p.Truncate(p.end); err != nil {
			return 0, err
		}
	}
	n, err := p.WriteAt(b, p.end)
	p.end += int64(n)
	p.room = max(p.room, p.end)
	return n, err
}

// Sync has what was written on the disk, and of the file's attributes what it takes to
// read that.
func (p *padded) Sync() error { return datasync(p.File) }

// Truncate makes size the end.
func (p *padded) Truncate(size int64) error {
	if err := p.File.Truncate(size); err != nil {
		return err
	}
	p.end, p.room = size, size
	return nil
}

// Close cuts the zeros off.
func (p *padded) Close() error {
	var err error
	if p.room > p.end {
		err = p.File.Truncate(p.end)
	}
	return errors.Join(err, p.File.Close())
}
