// SPDX-License-Identifier: Apache-2.0
// What commands print: one description of a record serves as a table for people, and as JSON or
// YAML for programs. Tables show the columns that the description names; JSON and YAML show all of
// a record.
//
// Not thread-safe: one Output belongs to one command.
#pragma once

#include <google/protobuf/message.h>

#include <cstddef>
#include <iosfwd>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tools/sottoctl/message_json.h"

namespace sotto::tools {

enum class OutputFormat { kTable, kJson, kYaml };

struct OutputOptions {
  OutputFormat format = OutputFormat::kTable;
  bool raw = false;    // in tables: numbers as they are
  bool color = false;  // in tables
  size_t width = 0;    // of the terminal, which the last column is wrapped to; 0: as long as it is
};

enum class Unit {
  kText,  // lists are joined by commas; null and "" are "-"
  kCount,
  kBytes,
  kSeconds,
  kNanoseconds,
  kPercent,  // of a number with a fraction
  kYesNo,
  kRate,  // a number with a fraction, per second
};

struct Column {
  std::string_view title;
  std::string_view key;  // of the record; "a.b" is b within a
  Unit unit = Unit::kText;
};

class Output {
 public:
  // `out` must outlive the object.
  Output(std::ostream& out, const OutputOptions& options) : out_(out), options_(options) {}

  const OutputOptions& options() const { return options_; }
  bool is_table() const { return options_.format == OutputFormat::kTable; }

  // One record. As a table: a line for each column, its title before it.
  void Record(const Json& record, std::span<const Column> columns);
  void Record(const google::protobuf::Message& record, std::span<const Column> columns);

  // What a change has done: the sentence, or the record.
  void Done(std::string_view sentence, const Json& record);

  // For tables alone.
  void Line(std::string_view line);

  // Records one after the other, printed as they come: an array in JSON and YAML. Memory is bounded
  // by the rows that tables measure their columns by; a later, wider cell moves its own line.
  class List {
   public:
    List(Output& output, std::vector<Column> columns);
    ~List();  // ends it
    List(const List&) = delete;
    List& operator=(const List&) = delete;

    void Add(const Json& record);
    void Add(const google::protobuf::Message& record);
    // What is there so far is printed, for those who watch.
    void Flush();
    size_t size() const { return size_; }

   private:
    void PrintRow(std::span<const std::string> cells, bool title);
    void PrintMeasured();

    Output& output_;
    const std::vector<Column> columns_;
    std::vector<size_t> widths_;
    std::vector<std::vector<std::string>> waiting_;  // rows to measure, the titles first
    bool measuring_ = true;
    size_t size_ = 0;
  };

  // Everything is written. False: it could not be, as on a full disk.
  bool Finish();

  // A record's cell for a column, as tables have it.
  std::string Cell(const Json& record, const Column& column) const;

 private:
  std::ostream& out_;
  const OutputOptions options_;
};

// A YAML document of what JSON can say, each line indented by `indent`; ends with a newline.
std::string ToYaml(const Json& value, size_t indent = 0);

}  // namespace sotto::tools
