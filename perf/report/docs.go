package main

import (
	"fmt"
	"os"
	"path/filepath"

	"nsrouter/perf/results"
)

// documents are the files of the documentation that are made of results, by their paths below docs.
func (d *data) documents(prose []byte, sections []section) (map[string][]byte, error) {
	text, err := regenerate(prose, sections)
	if err != nil {
		return nil, fmt.Errorf("performance.md: %w", err)
	}
	files := map[string][]byte{"performance.md": text}
	for _, s := range sections {
		for _, f := range s.figures {
			svg, err := f.svg()
			if err != nil {
				return nil, fmt.Errorf("draw %s: %w", f.name, err)
			}
			files[filepath.Join(pictures, f.name+".svg")] = svg
		}
	}
	return files, nil
}

// saveDocs makes the generated parts of the documentation anew. Figures of an earlier run that this one has not are removed.
func (d *data) saveDocs(docs string, sections []section) error {
	path := filepath.Join(docs, "performance.md")
	prose, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	files, err := d.documents(prose, sections)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(docs, pictures), 0o755); err != nil {
		return err
	}
	old, err := filepath.Glob(filepath.Join(docs, pictures, "*.svg"))
	if err != nil {
		return err
	}
	for _, file := range old {
		if err := os.Remove(file); err != nil {
			return err
		}
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(docs, name), text, 0o644); err != nil {
			return err
		}
	}
	if err := results.SaveJSON(filepath.Join(docs, pictures, "results.json"), d.runs...); err != nil {
		return err
	}
	fmt.Println("written:", path, "and", len(files)-1, "figures in", filepath.Join(docs, pictures))
	return nil
}
