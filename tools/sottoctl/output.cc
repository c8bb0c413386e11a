// SPDX-License-Identifier: Apache-2.0
#include "tools/sottoctl/output.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <ostream>

#include "tools/sottoctl/units.h"

namespace sotto::tools {
namespace {

// Rows that a table measures before it prints.
constexpr size_t kMeasuredRows = 200;
constexpr size_t kGap = 2;
constexpr size_t kNarrowestWrap = 20;
constexpr std::string_view kBold = "\033[1m";
constexpr std::string_view kPlain = "\033[0m";

bool IsNumber(Unit unit) { return unit != Unit::kText && unit != Unit::kYesNo; }

const Json* Find(const Json& record, std::string_view key) {
  const Json* at = &record;
  while (true) {
    const size_t dot = key.find('.');
    if (!at->is_object()) return nullptr;
    const auto found = at->find(std::string(key.substr(0, dot)));
    if (found == at->end()) return nullptr;
    at = &*found;
    if (dot == std::string_view::npos) return at;
    key.remove_prefix(dot + 1);
  }
}

std::string Compact(const Json& value) {
  return value.dump(-1, ' ', true, Json::error_handler_t::replace);
}

std::string Text(const Json& value) {
  if (value.is_null()) return "-";
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    return text.empty() ? "-" : Printable(text);
  }
  if (value.is_array()) {
    std::string joined;
    for (const Json& element : value) {
      if (!joined.empty()) joined += ", ";
      joined += Text(element);
    }
    return joined.empty() ? "-" : joined;
  }
  return Compact(value);
}

std::string Number(const Json& value, Unit unit) {
  const uint64_t whole = value.is_number() ? value.get<uint64_t>() : 0;
  switch (unit) {
    case Unit::kCount:
      return FormatCount(whole);
    case Unit::kBytes:
      return FormatBytes(whole);
    case Unit::kSeconds:
      return FormatDuration(whole);
    case Unit::kNanoseconds:
      return FormatNanoseconds(whole);
    case Unit::kPercent:
      return fmt::format("{:.1f}%", value.get<double>());
    case Unit::kRate:
      return FormatRate(value.get<double>());
    default:
      return Text(value);
  }
}

void Pad(std::string& line, size_t columns) { line.append(columns, ' '); }

// Words that YAML takes for something other than text, and text that has a meaning in its syntax,
// are quoted; a JSON string is a YAML string.
std::string YamlScalar(const Json& value) {
  if (!value.is_string()) return Compact(value);
  const auto& text = value.get_ref<const std::string&>();
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("_-./ ").find(c) != std::string_view::npos;
  };
  const bool starts_as_word =
      !text.empty() &&
      ((text[0] >= 'a' && text[0] <= 'z') || (text[0] >= 'A' && text[0] <= 'Z') || text[0] == '/');
  // YAML 1.1's booleans and null.
  static constexpr std::string_view kWords[] = {"y",   "n",    "yes",   "no",  "on",
                                                "off", "true", "false", "null"};
  std::string lower(text.substr(0, 6));
  for (char& c : lower) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  const bool word = text.size() < 6 && std::ranges::find(kWords, lower) != std::end(kWords);
  if (starts_as_word && !word && text.back() != ' ' && std::ranges::all_of(text, plain)) {
    return text;
  }
  return Compact(value);
}

void YamlInto(std::string& out, const Json& value, size_t indent) {
  const bool object = value.is_object();
  bool first = true;
  for (const auto& [key, element] : value.items()) {
    // The first line of an element of a list stands behind its dash.
    if (!first || !out.ends_with("- ")) Pad(out, indent);
    first = false;
    out += object ? YamlScalar(key) + ":" : "-";
    if (element.is_structured() && !element.empty()) {
      if (object) {
        out += '\n';
      } else {
        out += ' ';
      }
      YamlInto(out, element, indent + 2);
    } else {
      out += ' ';
      out += element.is_object() ? "{}" : element.is_array() ? "[]" : YamlScalar(element);
      out += '\n';
    }
  }
}

}  // namespace

std::string ToYaml(const Json& value, size_t indent) {
  std::string out;
  if (value.is_structured() && !value.empty()) {
    YamlInto(out, value, indent);
    return out;
  }
  Pad(out, indent);
  return out + (value.is_structured() ? Compact(value) : YamlScalar(value)) + "\n";
}

std::string Output::Cell(const Json& record, const Column& column) const {
  const Json* value = Find(record, column.key);
  if (value == nullptr || value->is_null()) return "-";
  if (options_.raw && IsNumber(column.unit)) return Text(*value);
  if (column.unit == Unit::kText) return Text(*value);
  if (column.unit == Unit::kYesNo) return value->get<bool>() ? "yes" : "no";
  return Number(*value, column.unit);
}

void Output::Record(const Json& record, std::span<const Column> columns) {
  if (options_.format == OutputFormat::kJson) {
    out_ << record.dump(2, ' ', true, Json::error_handler_t::replace) << '\n';
    return;
  }
  if (options_.format == OutputFormat::kYaml) {
    out_ << ToYaml(record);
    return;
  }
  size_t widest = 0;
  for (const Column& column : columns) widest = std::max(widest, DisplayWidth(column.title));
  for (const Column& column : columns) {
    std::string line;
    if (options_.color) line += kBold;
    line += column.title;
    if (options_.color) line += kPlain;
    Pad(line, widest - DisplayWidth(column.title) + kGap);
    const size_t indent = widest + kGap;
    const std::string cell = Cell(record, column);
    line += options_.width > indent + kNarrowestWrap ? Wrap(cell, options_.width, indent) : cell;
    out_ << line << '\n';
  }
}

void Output::Record(const google::protobuf::Message& record, std::span<const Column> columns) {
  Record(ToJson(record), columns);
}

void Output::Done(std::string_view sentence, const Json& record) {
  if (is_table()) {
    out_ << sentence << '\n';
  } else {
    Record(record, {});
  }
}

void Output::Line(std::string_view line) {
  if (is_table()) out_ << line << '\n';
}

bool Output::Finish() {
  out_.flush();
  return out_.good();
}

Output::List::List(Output& output, std::vector<Column> columns)
    : output_(output), columns_(std::move(columns)), widths_(columns_.size(), 0) {
  std::vector<std::string> titles;
  for (const Column& column : columns_) titles.emplace_back(column.title);
  waiting_.push_back(std::move(titles));
}

Output::List::~List() {
  std::ostream& out = output_.out_;
  switch (output_.options_.format) {
    case OutputFormat::kTable:
      PrintMeasured();
      break;
    case OutputFormat::kJson:
      out << (size_ == 0 ? "[]\n" : "\n]\n");
      break;
    case OutputFormat::kYaml:
      if (size_ == 0) out << "[]\n";
      break;
  }
}

void Output::List::Add(const Json& record) {
  std::ostream& out = output_.out_;
  ++size_;
  if (output_.options_.format == OutputFormat::kJson) {
    out << (size_ == 1 ? "[\n" : ",\n") << Compact(record);
    return;
  }
  if (output_.options_.format == OutputFormat::kYaml) {
    std::string item = "- ";
    YamlInto(item, record, 2);
    out << item;
    return;
  }
  std::vector<std::string> cells;
  for (const Column& column : columns_) cells.push_back(output_.Cell(record, column));
  if (!measuring_) {
    PrintRow(cells, false);
    return;
  }
  waiting_.push_back(std::move(cells));
  if (waiting_.size() > kMeasuredRows) PrintMeasured();
}

void Output::List::Add(const google::protobuf::Message& record) { Add(ToJson(record)); }

void Output::List::Flush() {
  if (output_.is_table()) PrintMeasured();
  output_.out_.flush();
}

void Output::List::PrintMeasured() {
  if (!measuring_) return;
  measuring_ = false;
  for (const auto& row : waiting_) {
    for (size_t i = 0; i < row.size(); ++i) widths_[i] = std::max(widths_[i], DisplayWidth(row[i]));
  }
  for (size_t i = 0; i < waiting_.size(); ++i) PrintRow(waiting_[i], i == 0);
  waiting_.clear();
  waiting_.shrink_to_fit();
}

void Output::List::PrintRow(std::span<const std::string> cells, bool title) {
  const OutputOptions& options = output_.options_;
  std::string line;
  size_t indent = 0;
  for (size_t i = 0; i < cells.size(); ++i) {
    const bool last = i + 1 == cells.size();
    const size_t width = DisplayWidth(cells[i]);
    const size_t gap = widths_[i] > width ? widths_[i] - width : 0;
    if (IsNumber(columns_[i].unit)) Pad(line, gap);
    if (last && !IsNumber(columns_[i].unit) && options.width > indent + kNarrowestWrap) {
      line += Wrap(cells[i], options.width, indent);
    } else {
      line += cells[i];
    }
    if (last) break;
    if (!IsNumber(columns_[i].unit)) Pad(line, gap);
    Pad(line, kGap);
    indent += std::max(widths_[i], width) + kGap;
  }
  if (title && options.color) line = std::string(kBold) + line + std::string(kPlain);
  output_.out_ << line << '\n';
}

}  // namespace sotto::tools
