package language

import (
	"github.com/hashicorp/hcl/v2/hclwrite"
)

// Format returns the source in the canonical style: indentation, and equals
// signs below one another. Source with mistakes of syntax comes back as it is,
// with the mistakes.
func Format(name string, src []byte) ([]byte, Diagnostics) {
	m := mistakes{}
	parseFile(name, src, &m)
	if m.failed() {
		files := newFileSet(nil)
		files.put(name, src)
		return src, m.finish(files, nil)
	}
	return hclwrite.Format(src), nil
}
