package language

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/hashicorp/hcl/v2"
)

// fileSet reads each file once and keeps it for snippets. It is safe for
// concurrent use.
type fileSet struct {
	read func(path string) ([]byte, error)

	mu    sync.Mutex
	files map[string]fileContent
}

type fileContent struct {
	bytes []byte
	err   error
}

func newFileSet(read func(string) ([]byte, error)) *fileSet {
	if read == nil {
		read = os.ReadFile
	}
	return &fileSet{read: read, files: map[string]fileContent{}}
}

func (s *fileSet) get(path string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, ok := s.files[path]
	if !ok {
		f.bytes, f.err = s.read(path)
		s.files[path] = f
	}
	return f.bytes, f.err
}

// put makes text that came from no file known under a name, for snippets.
func (s *fileSet) put(name string, text []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[name] = fileContent{bytes: text}
}

// maxSnippet is how many lines of a long range are shown.
const maxSnippet = 3

func (s *fileSet) snippet(d Diagnostic) []Line {
	s.mu.Lock()
	text := s.files[d.File].bytes
	s.mu.Unlock()
	if d.File == "" || d.Range.Start.Line < 1 || len(text) == 0 || Encrypted(d.File, text) {
		return nil
	}
	last := max(d.Range.End.Line, d.Range.Start.Line)
	if d.Range.End.Column == 1 && last > d.Range.Start.Line {
		last-- // it ends with the line before
	}
	from, to := d.Range.Start.Byte, max(d.Range.End.Byte, d.Range.Start.Byte)
	var out []Line
	start, number := 0, 1
	for line := range bytes.Lines(text) {
		end := start + len(line)
		if number >= d.Range.Start.Line && number <= last {
			body := strings.TrimRight(string(line), "\r\n")
			out = append(out, Line{
				Number: number,
				Text:   body,
				From:   min(max(from-start, 0), len(body)),
				To:     min(max(to-start, 0), len(body)),
			})
		}
		if len(out) == maxSnippet {
			break
		}
		start, number = end, number+1
	}
	return out
}

// beside resolves a path that is written in a file: relative ones are relative
// to that file's folder.
func beside(file, path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(filepath.Dir(file), path)
}

// startOf is the range of a file as a whole, for what is missing in it.
func startOf(file string) hcl.Range {
	return hcl.Range{Filename: file, Start: hcl.InitialPos, End: hcl.InitialPos}
}
